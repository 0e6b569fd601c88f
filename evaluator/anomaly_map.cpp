#include "evaluator/anomaly_map.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace assay {
namespace {

// Bilinear resize along one axis as PyTorch's interpolate(align_corners = false): float64
// [out, in]. Positions are formed in float32 with a fused multiply-add, as its CPU kernel forms
// them: from 37 to 518 pixels, exact positions would change weights by 3e-6.
at::Tensor resize_matrix(std::int64_t out, std::int64_t in) {
  at::Tensor matrix = at::zeros({out, in}, at::kDouble);
  auto weight = matrix.accessor<double, 2>();
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (std::int64_t i = 0; i < out; ++i) {
    const float source = std::max(std::fma(scale, static_cast<float>(i) + 0.5F, -0.5F), 0.0F);
    const std::int64_t below = std::min(static_cast<std::int64_t>(source), in - 1);
    const double share = source - static_cast<float>(below);
    weight[i][below] += 1 - share;
    weight[i][std::min(below + 1, in - 1)] += share;
  }
  return matrix;
}

// Where `d c b a | a b c d | d c b a` finds position `i` of a line of `size`.
std::int64_t reflect(std::int64_t i, std::int64_t size) {
  const std::int64_t period = 2 * size;
  const std::int64_t at = (i % period + period) % period;
  return at < size ? at : period - 1 - at;
}

// scipy.ndimage.gaussian_filter1d (mode 'reflect', truncate 4): float64 [size, size].
at::Tensor gaussian_matrix(std::int64_t size, double sigma) {
  constexpr double kTruncate = 4;
  const auto radius = static_cast<std::int64_t>(kTruncate * sigma + 0.5);
  std::vector<double> kernel;
  double sum = 0;
  for (std::int64_t x = -radius; x <= radius; ++x) {
    kernel.push_back(std::exp(-0.5 * static_cast<double>(x * x) / (sigma * sigma)));
    sum += kernel.back();
  }
  at::Tensor matrix = at::zeros({size, size}, at::kDouble);
  auto weight = matrix.accessor<double, 2>();
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t x = -radius; x <= radius; ++x) {
      weight[i][reflect(i + x, size)] += kernel[x + radius] / sum;
    }
  }
  return matrix;
}

}  // namespace

AnomalyMapOperator::AnomalyMapOperator(std::int64_t grid,
                                       std::int64_t image_size,
                                       double sigma,
                                       std::int64_t eval_size) {
  if (grid < 1 || image_size < 1 || eval_size < 1 || !(sigma >= 0 && std::isfinite(sigma))) {
    throw std::invalid_argument(fmt::format(
        "anomaly map: grid {}, image_size {}, eval_size {}, sigma {}; expected positive "
        "sizes and a sigma of at least 0",
        grid, image_size, eval_size, sigma));
  }
  at::Tensor weights = resize_matrix(image_size, grid);
  if (sigma > 0) weights = at::mm(gaussian_matrix(image_size, sigma), weights);
  if (eval_size != image_size) weights = at::mm(resize_matrix(eval_size, image_size), weights);
  weights_ = weights;
  columns_ = weights.t().to(at::kFloat).contiguous();
}

at::Tensor AnomalyMapOperator::operator()(const at::Tensor& grid_scores) const {
  at::Tensor maps = at::empty({grid_scores.size(0), eval_size(), eval_size()}, at::kFloat);
  write(grid_scores, maps);
  return maps;
}

void AnomalyMapOperator::write(const at::Tensor& grid_scores, const at::Tensor& maps) const {
  const std::int64_t batch = maps.size(0), grid = weights_.size(1);
  if (grid_scores.sizes() != at::IntArrayRef{batch, grid, grid} ||
      grid_scores.scalar_type() != at::kFloat) {
    throw std::invalid_argument(fmt::format(
        "anomaly map: expected float32 scores [{}, {}, {}], got {} [{}]", batch, grid, grid,
        c10::toString(grid_scores.scalar_type()), fmt::join(grid_scores.sizes(), ", ")));
  }
  for (std::int64_t i = 0; i < batch; ++i) {  // One by one: bits do not depend on the batch.
    // In double: it costs little, and two float32 products would be off by 2.7e-7.
    const at::Tensor rows = at::mm(weights_, grid_scores[i].to(at::kDouble));  // [S, g]
    at::Tensor map = maps[i];
    at::mm_out(map, rows.to(at::kFloat), columns_);  // [S, g] [g, S] -> [S, S]
  }
}

}  // namespace assay
