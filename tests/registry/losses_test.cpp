#include "registry/losses.h"

#include "registry/local_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

at::Tensor random_probability(std::int64_t batch, std::int64_t grid) {
  return at::sigmoid(2 * at::randn({batch, grid * grid})).requires_grad_(true);
}

// The definition in whole maps: registry/local_loss.h, spec/methods-seeds.md 1.7.
at::Tensor literal_local_sums(const at::Tensor& probability, const at::Tensor& masks) {
  const std::int64_t batch = masks.size(0), size = masks.size(1);
  const auto grid = std::llround(std::sqrt(static_cast<double>(probability.size(1))));
  const at::Tensor map = at::upsample_bilinear2d(
      probability.to(at::kDouble).view({batch, 1, grid, grid}), {size, size}, false);
  const at::Tensor abnormal = map.squeeze(1), truth = masks.to(at::kDouble);
  const at::Tensor soft = at::clamp(truth, 1e-5, 1 - 1e-5);
  const at::Tensor pt = soft * abnormal + (1 - soft) * (1 - abnormal) + 1e-5;
  return at::stack({(-(1 - pt).square() * pt.log()).mean({1, 2}), abnormal.sum({1, 2}),
                    (abnormal * truth).sum({1, 2}), truth.sum({1, 2})},
                   1);
}

void expect_near(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  const double scale = std::max(expected.abs().max().item<double>(), 1e-30);
  EXPECT_LE((actual - expected).abs().max().item<double>(), tolerance * scale);
}

at::Tensor gradient_of(const at::Tensor& value, const at::Tensor& parameter) {
  return torch::autograd::grad({value}, {parameter})[0];
}

struct Sizes {
  std::int64_t grid, size;
  double anomalous;  // Share of anomalous pixels.
};

class LocalSumsAgainstMaps : public ::testing::TestWithParam<Sizes> {};

TEST_P(LocalSumsAgainstMaps, HaveTheSameValuesAndGradients) {
  const auto [grid, size, anomalous] = GetParam();
  at::manual_seed(17);
  const at::Tensor probability = random_probability(3, grid);
  const at::Tensor masks = at::rand({3, size, size}).lt(anomalous).to(at::kByte);
  const at::Tensor weights = at::randn({3, kLocalSums}, at::kDouble);

  const at::Tensor fused = local_sums(probability, masks);
  const at::Tensor literal = literal_local_sums(probability, masks);

  for (std::int64_t column = 0; column < kLocalSums; ++column) {
    expect_near(fused.select(1, column), literal.select(1, column), 1e-6);
    expect_near(local_sums_of_maps(probability, masks).select(1, column), literal.select(1, column),
                2e-6);
  }
  // The pixel sums are S^2 times the mean: weigh them alike, so that each part can be seen.
  const at::Tensor scale =
      at::tensor({static_cast<double>(size * size), 1.0, 1.0, 1.0}, at::kDouble);
  const auto weighed = [&](const at::Tensor& sums) {
    return gradient_of((sums * weights * scale).sum(), probability);
  };
  const at::Tensor expected = weighed(literal);
  expect_near(weighed(fused), expected, 3e-6);
  expect_near(weighed(local_sums_of_maps(probability, masks)), expected, 1e-5);
}

TEST_P(LocalSumsAgainstMaps, AreTheSameBitsOneLossAtATime) {
  const auto [grid, size, anomalous] = GetParam();
  at::manual_seed(18);
  const at::Tensor probability = random_probability(2, grid);
  const at::Tensor masks = at::rand({2, size, size}).lt(anomalous).to(at::kByte);
  const auto expect_part = [&](LocalLosses losses, const std::vector<std::int64_t>& columns) {
    const at::Tensor both = local_sums(probability, masks),
                     part = local_sums(probability, masks, losses);
    at::Tensor of_both = at::zeros({}, at::kDouble), of_part = of_both;
    for (std::int64_t column = 0; column < kLocalSums; ++column) {
      if (std::ranges::find(columns, column) == columns.end()) {
        EXPECT_EQ(part.select(1, column).abs().max().item<double>(), 0) << column;
        continue;
      }
      EXPECT_TRUE(at::equal(part.select(1, column), both.select(1, column))) << column;
      of_both = of_both + both.select(1, column).sum();
      of_part = of_part + part.select(1, column).sum();
    }
    EXPECT_TRUE(at::equal(gradient_of(of_part, probability), gradient_of(of_both, probability)));
  };
  expect_part({.focal = true, .dice = false}, {kFocal});
  expect_part({.focal = false, .dice = true}, {kAbnormal, kOverlap, kMask});
}

INSTANTIATE_TEST_SUITE_P(Sizes,
                         LocalSumsAgainstMaps,
                         ::testing::Values(Sizes{1, 8, 0.5},
                                           Sizes{2, 3, 0.3},
                                           Sizes{5, 40, 0.2},
                                           Sizes{7, 98, 0.0},
                                           Sizes{7, 98, 1.0},
                                           Sizes{16, 128, 0.05},
                                           Sizes{9, 5, 0.4},  // Shrinking: maps smaller than grids.
                                           Sizes{37, 518, 0.1}));

TEST(LocalSums, HoldAtCertainProbabilities) {
  const at::Tensor probability = at::tensor({0.0F, 1.0F, 1.0F, 0.0F}).view({1, 4});
  const at::Tensor masks = at::ones({1, 6, 6}, at::kByte);
  expect_near(local_sums(probability, masks), literal_local_sums(probability, masks), 1e-6);
}

// 1 - p keeps three digits in float32 where p is off 1 by 1e-5, here as in the releases.
TEST(LocalSums, HaveGradientsWherePatchesAreCertainAndWrong) {
  at::manual_seed(18);
  const at::Tensor probability = at::sigmoid(12 * at::randn({2, 25})).requires_grad_(true);
  const at::Tensor masks = at::rand({2, 40, 40}).lt(0.5).to(at::kByte);
  expect_near(
      gradient_of(local_sums(probability, masks).select(1, kFocal).sum(), probability),
      gradient_of(literal_local_sums(probability, masks).select(1, kFocal).sum(), probability),
      5e-3);
}

TEST(LocalSums, RefuseMasksOfAnotherBatch) {
  EXPECT_THROW(static_cast<void>(local_sums(at::zeros({2, 4}), at::zeros({3, 8, 8}, at::kByte))),
               std::invalid_argument);
}

TEST(LocalTerms, AreFocalAndDiceOfTheImagesWithAPixelTerm) {
  at::manual_seed(5);
  const at::Tensor probability = random_probability(4, 5);
  const at::Tensor masks = at::rand({4, 20, 20}).lt(0.3).to(at::kByte);
  const at::Tensor has_pixel_term = at::tensor({1, 0, 1, 1}).to(at::kBool);

  const at::Tensor terms = local_terms(probability, masks, has_pixel_term);

  const at::Tensor map =
      at::upsample_bilinear2d(probability.to(at::kDouble).view({4, 1, 5, 5}), {20, 20}, false)
          .squeeze(1);
  double focal = 0, abnormal = 0, normal = 0;
  for (const int image : {0, 2, 3}) {
    const at::Tensor p = map[image], g = masks[image].to(at::kDouble);
    focal += literal_local_sums(probability, masks)[image][kFocal].item<double>();
    const auto dice = [](const at::Tensor& channel, const at::Tensor& truth) {
      return ((2 * (channel * truth).sum() + 1) / (channel.sum() + truth.sum() + 1)).item<double>();
    };
    abnormal += dice(p, g);
    normal += dice(1 - p, 1 - g);
  }
  expect_near(terms, at::tensor({focal, abnormal, normal}, at::kDouble), 1e-6);
  const double loss = local_loss(terms, 3, 1, true, true).item<double>();
  EXPECT_NEAR(loss, focal / 3 + (1 - abnormal / 3) + (1 - normal / 3), 1e-6);
}

TEST(LocalTerms, OfShardsAddUpToThoseOfTheBatch) {
  at::manual_seed(6);
  const at::Tensor probability = random_probability(5, 6);
  const at::Tensor masks = at::rand({5, 30, 30}).lt(0.2).to(at::kByte);
  const at::Tensor all = at::ones({5}, at::kBool);
  at::Tensor sum = at::zeros({kLocalTerms}, at::kDouble);
  for (const std::int64_t first : {0, 2, 4}) {
    const std::int64_t count = std::min<std::int64_t>(2, 5 - first);
    sum = sum + local_terms(probability.narrow(0, first, count), masks.narrow(0, first, count),
                            all.narrow(0, first, count));
  }
  expect_near(sum, local_terms(probability, masks, all), 1e-12);
}

TEST(LocalTerms, AreZeroWithoutMasks) {
  const at::Tensor terms = local_terms(at::rand({2, 9}), at::Tensor(), at::zeros({2}, at::kBool));
  EXPECT_TRUE(at::equal(terms, at::zeros({kLocalTerms}, at::kDouble)));
}

TEST(CrossEntropySum, MatchesTheSoftmaxAlsoForLargeLogits) {
  const at::Tensor logits =
      at::tensor({1.0, 2.0, 800.0, -800.0, 0.3, 0.1}, at::kDouble).view({3, 2});
  const at::Tensor labels = at::tensor({1, 1, 0}, at::kLong);
  const double expected = std::log1p(std::exp(-1.0)) + 1600.0 + std::log1p(std::exp(0.1 - 0.3));
  EXPECT_NEAR(cross_entropy_sum(logits, labels).item<double>(), expected, 1e-9);
}

// spec/methods-seeds.md 9, V-note.
TEST(ImageFocalSum, OfScoresTakenForLogitsHasThePublishedValues) {
  const auto value = [](double score, std::int64_t label) {
    return image_focal_sum(at::tensor({score}, at::kDouble), at::tensor({label}, at::kLong), true)
        .item<double>();
  };
  EXPECT_NEAR(value(0, 0), 0.1733, 5e-5);
  EXPECT_NEAR(value(1, 1), 0.0227, 5e-5);
  EXPECT_NEAR(value(1, 0), 0.7019, 5e-5);
  EXPECT_NEAR(value(0, 1), 0.1733, 5e-5);
}

TEST(ImageFocalSum, OfProbabilitiesIsFiniteAtZero) {
  const at::Tensor scores = at::tensor({0.25, 0.0}, at::kDouble);
  const at::Tensor labels = at::tensor({1, 1}, at::kLong);
  EXPECT_NEAR(image_focal_sum(scores, labels, false).item<double>(),
              0.75 * 0.75 * std::log(4.0) + 100, 1e-9);
}

TEST(Orthogonality, SumsPairsOnceOrTwice) {
  const at::Tensor texts = at::tensor({3.0F, 0.0F, 0.0F, 2.0F, -1.0F, -1.0F}).view({3, 2});
  const double expected = 0 + std::sqrt(0.5) + std::sqrt(0.5);
  EXPECT_NEAR(orthogonality(texts, false).item<double>(), expected, 1e-6);
  EXPECT_NEAR(orthogonality(texts, true).item<double>(), 2 * expected, 1e-6);
}

TEST(Orthogonality, OfOnePromptIsZero) {
  EXPECT_EQ(orthogonality(at::randn({1, 8}), true).item<double>(), 0);
}

}  // namespace
}  // namespace assay
