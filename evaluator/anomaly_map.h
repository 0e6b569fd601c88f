#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace assay {

/// From patch scores to a smoothed pixel map in one linear operator (`spec/methods-seeds.md` 3.10,
/// R16): bilinear upsampling (align_corners = false) followed by SciPy's gaussian_filter (reflect,
/// truncate 4) is W S W^T with W = G_sigma U, [image_size, grid].
class AnomalyMapOperator {
 public:
  /// `sigma` in pixels of `image_size`, 0 = no smoothing. `eval_size` other than image_size: the
  /// map is resized bilinearly (align_corners = false) after smoothing. Throws
  /// std::invalid_argument on a size below 1 or a negative sigma.
  AnomalyMapOperator(std::int64_t grid,
                     std::int64_t image_size,
                     double sigma,
                     std::int64_t eval_size);

  /// float32 [B, g, g] -> [B, eval_size, eval_size]; the bits of a map do not depend on B.
  /// Throws std::invalid_argument on another shape or dtype.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& grid_scores) const;

  /// The same into `maps`, float32 [B, eval_size, eval_size], contiguous. Fresh memory costs more
  /// than the arithmetic: who makes many maps keeps one buffer.
  void write(const at::Tensor& grid_scores, const at::Tensor& maps) const;

  [[nodiscard]] std::int64_t eval_size() const { return weights_.size(0); }

 private:
  at::Tensor weights_;  // float64 [eval_size, grid]
  at::Tensor columns_;  // float32 [grid, eval_size]: their transpose, rounded once
};

}  // namespace assay
