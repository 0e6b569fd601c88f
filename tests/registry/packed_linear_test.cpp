#include "registry/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

namespace assay {
namespace {

using ::testing::ThrowsMessage;

double relative_difference(const at::Tensor& actual, const at::Tensor& expected) {
  return (actual.to(at::kDouble) - expected).abs().max().item<double>() /
         expected.abs().max().item<double>();
}

// A sum of up to 1,600 products in float32, one after the other: some sqrt(1600) roundings.
constexpr double kTolerance = 4e-6;

TEST(PackedLinear, IsTheLinearLayer) {
  // Depths below, at and beyond a block of the sum; all counts of rows in the last tile.
  for (const auto& [n, k] : {std::pair(48, 16), {16, 768}, {64, 1600}}) {
    const at::Tensor weight = at::randn({n, k}), bias = at::randn({n});
    const PackedLinear layer(weight, bias);
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 13}) {
      const at::Tensor x = at::randn({rows, k}), gradient = at::randn({rows, n});
      const at::Tensor weight64 = weight.to(at::kDouble);
      EXPECT_LE(relative_difference(layer.forward(x),
                                    at::linear(x.to(at::kDouble), weight64, bias.to(at::kDouble))),
                kTolerance);
      EXPECT_LE(
          relative_difference(layer.backward(gradient), at::mm(gradient.to(at::kDouble), weight64)),
          1e-6);
    }
  }
}

TEST(PackedLinear, IsDifferentiableInItsInput) {
  const at::Tensor weight = at::randn({32, 16}), bias = at::randn({32});
  const PackedLinear layer(weight, bias);
  const at::Tensor x = at::randn({2, 3, 16}).requires_grad_(true), seed = at::randn({2, 3, 32});
  const at::Tensor y = layer(x);
  EXPECT_EQ(y.sizes(), at::IntArrayRef({2, 3, 32}));
  const auto gradient = torch::autograd::grad({y}, {x}, {seed});
  EXPECT_TRUE(at::equal(gradient[0], layer.backward(seed)));
}

TEST(PackedLinear, TakesViews) {
  const PackedLinear layer(at::randn({32, 16}), at::randn({32}));
  const at::Tensor x = at::randn({16, 5}).t();
  EXPECT_TRUE(at::equal(layer.forward(x), layer.forward(x.contiguous())));
}

TEST(PackedLinear, GivesARowTheSameBitsWhateverTheOthers) {
  const PackedLinear layer(at::randn({768, 1600}), at::randn({768}));
  const at::Tensor x = at::randn({23, 1600});
  const at::Tensor all = layer.forward(x);
  for (const auto& [first, count] : {std::pair(0, 1), {3, 7}, {11, 12}}) {
    EXPECT_TRUE(at::equal(layer.forward(x.narrow(0, first, count)), all.narrow(0, first, count)));
  }
}

TEST(PackedLinear, GivesTheSameBitsOnAnyNumberOfThreads) {
  const PackedLinear layer(at::randn({96, 320}), at::randn({96}));
  const at::Tensor x = at::randn({9, 320});
  at::set_num_threads(1);
  const at::Tensor expected = layer.forward(x);
  at::set_num_threads(3);
  EXPECT_TRUE(at::equal(layer.forward(x), expected));
  at::set_num_threads(1);
}

PackedMatrix packed(const at::Tensor& matrix) {
  const std::int64_t k = matrix.size(0), n = matrix.size(1);
  return {matrix.const_data_ptr<float>(), k, n, n, 1};
}

at::Tensor product(const at::Tensor& x, const PackedMatrix& matrix) {
  at::Tensor y = at::empty({x.size(0), matrix.columns()});
  matrix.multiply(x.const_data_ptr<float>(), x.size(0), nullptr, y.mutable_data_ptr<float>(), 0,
                  matrix.columns() / PackedMatrix::kColumns);
  return y;
}

TEST(PackedMatrix, HasTheSameBitsInHalfPrecisionAndIsInItOnlyWhereThatIsExact) {
  const at::Tensor matrix = at::randn({800, 48}).to(at::kHalf).to(at::kFloat);
  matrix[0][0] = -0.0;
  matrix[1][0] = 6e-8;  // The smallest: 2^-24, as rounded.
  matrix[1][0] = matrix[1][0].to(at::kHalf).to(at::kFloat);
  const PackedMatrix half = packed(matrix);
  EXPECT_TRUE(half.is_half());
  for (const double value : {0.1, 70000.0, 1e-9, double{INFINITY}, double{NAN}}) {
    at::Tensor spoilt = matrix.clone();
    spoilt[0][47] = value;  // In the last column alone.
    const PackedMatrix single = packed(spoilt);
    EXPECT_EQ(single.is_half(), std::isinf(value)) << value;
    for (const std::int64_t rows : {1, 5, 6, 33}) {
      const at::Tensor x = at::randn({rows, 800});
      EXPECT_TRUE(
          at::equal(product(x, half).narrow(1, 0, 47), product(x, single).narrow(1, 0, 47)));
    }
  }
}

TEST(PackedLinear, RefusesColumnsThatFillNoPanel) {
  EXPECT_THAT(
      [] {
        static_cast<void>(
            PackedLinear(at::ones({20, 16}), at::ones({20})).forward(at::ones({1, 16})));
      },
      ThrowsMessage<std::invalid_argument>(
          "a packed matrix of 20 columns, expected a multiple of 16"));
}

}  // namespace
}  // namespace assay
