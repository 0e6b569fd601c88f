#pragma once

#include "datasets/mask_runs.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace assay {

/// Images as in `spec/metrics.md`: maps of 518 x 518 from 37 x 37 logistic scores, sigma 10, masks
/// that cover about 2 % in one disc each, a third of the images normal. The same in every run.
struct BenchImages {
  static constexpr std::int64_t kGrid = 37, kSize = 518;

  explicit BenchImages(std::int64_t num_images);

  [[nodiscard]] double num_pixels() const {
    return static_cast<double>(maps.size()) * kSize * kSize;
  }

  at::Tensor grids;   ///< float32 [n, 37, 37].
  at::Tensor pixels;  ///< float32 [n, 518, 518].
  std::vector<std::span<const float>> maps;
  std::vector<MaskRuns> masks;
};

}  // namespace assay
