#include "tests/trainer/analytic_training.h"

#include "core/digest.h"
#include "core/error.h"
#include "core/random.h"

#include <ATen/ATen.h>

#include <limits>

namespace assay {
namespace {

constexpr std::int64_t kWidth = 7;
constexpr std::int64_t kRows = 5;

at::Tensor normal(std::uint64_t seed, const std::string& name, at::IntArrayRef shape) {
  const RandomStream stream(seed, name);
  at::Tensor values = at::empty(shape, at::kFloat);
  auto* data = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) data[i] = static_cast<float>(stream.normal(i));
  return values;
}

}  // namespace

AnalyticMethod::AnalyticMethod(std::uint64_t seed) {
  const auto add = [&](const std::string& name, at::IntArrayRef shape) {
    parameters_.emplace_back(name, normal(seed, name, shape).mul_(0.3).requires_grad_(true));
  };
  add("direct", {kRows, kWidth});
  add("shared", {kWidth});
  add("image_free", {3});
  add("unused", {2});
}

std::vector<at::Tensor> AnalyticMethod::shared_terms() const {
  const at::Tensor constant = at::ones({1});  // Without a gradient, as frozen text is.
  return {parameters_[1].second.tanh(), constant, parameters_[2].second.square().sum()};
}

at::Tensor AnalyticMethod::terms(std::span<const at::Tensor> shared, const Batch& batch) const {
  const at::Tensor& x = batch.global;                                     // [B, D]
  const at::Tensor projected = at::matmul(x, parameters_[0].second.t());  // [B, R]
  // Of an image of zeros the length is 0 and has no derivative: 0 times infinity.
  const at::Tensor length = projected.square().sum({1}).sqrt();
  const at::Tensor score = (length.square() / 8 + at::mv(x, shared[0]) * shared[1]).to(at::kDouble);
  const at::Tensor y = batch.labels.to(at::kDouble);
  return at::stack({(score - y).square().sum(), (score * y).sum(), score.square().sum(), y.sum(),
                    at::scalar_tensor(static_cast<double>(y.size(0)), at::kDouble)});
}

at::Tensor AnalyticMethod::loss(const at::Tensor& totals,
                                std::span<const at::Tensor> shared) const {
  const at::Tensor dice = (2 * totals[1] + 1) / (totals[2] + totals[3] + 1);
  return totals[0] / totals[4] + 1 - dice + shared[2];
}

Prediction AnalyticMethod::predict(const Batch& batch) const {
  return {.image_score = at::zeros({batch.global.size(0)}), .map_grid = {}};
}

Batch AnalyticSource::load(std::span<const std::int64_t> indices) const {
  std::vector<at::Tensor> features;
  std::vector<std::int64_t> labels;
  for (const std::int64_t index : indices) {
    if (index == unreadable_image) throw DataError("{}: cannot be decoded", describe(index));
    features.push_back(normal(/*seed=*/99, describe(index), {kWidth}));
    if (index == nan_image) features.back().fill_(std::numeric_limits<float>::quiet_NaN());
    if (index == zero_image) features.back().zero_();
    labels.push_back(index % 3 == 0 ? 1 : 0);
  }
  Batch batch;
  batch.global = at::stack(features);
  batch.labels = at::tensor(labels, at::kLong);
  return batch;
}

std::string AnalyticSource::describe(std::int64_t index) const {
  return fmt::format("drawing_{:03}.png", index);
}

std::string digest_of_parameters(const Method& method) {
  std::string bytes;
  for (const auto& [name, value] : method.parameters()) {
    bytes.append(static_cast<const char*>(value.const_data_ptr()), value.nbytes());
  }
  return sha256(bytes);
}

}  // namespace assay
