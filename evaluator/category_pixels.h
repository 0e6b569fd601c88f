#pragma once

#include "datasets/mask_runs.h"
#include "evaluator/metrics.h"
#include "evaluator/score_key.h"

#include <cstdint>
#include <span>
#include <vector>

namespace assay {

/// The pixels of one category, counted: what the pixel metrics start from.
struct CategoryPixels {
  MapSource map_of;
  std::span<const MaskRuns> masks;
  std::int64_t num_normal = 0, num_anomalous = 0;

  /// Of the regions of all images, one image after the other: the weight of one pixel of region r,
  /// round(2^62 / (R |r|)) (`spec/metrics.md` 7.0), so that PRO is a sum of integers.
  std::vector<std::uint64_t> weights;
  std::vector<std::uint32_t> first_region;  ///< By image: index into `weights` of its region 0.
  std::uint64_t total_weight = 0;           ///< Of all anomalous pixels; within P / 2 of 2^62.
};

/// Asks for no map. Throws std::invalid_argument where there are 2^32 pixels or more.
[[nodiscard]] CategoryPixels category_pixels(MapSource map_of, std::span<const MaskRuns> masks);
/// The same of maps in memory, which outlive it; also throws where sizes differ.
[[nodiscard]] CategoryPixels category_pixels(std::span<const std::span<const float>> maps,
                                             std::span<const MaskRuns> masks);

/// The range of the scores of image number `image`. Throws DataError naming image and pixel where
/// one is NaN or infinite.
[[nodiscard]] KeyRange finite_range(std::span<const float> map,
                                    std::size_t image,
                                    std::int64_t width);

/// Calls `on_normal(scores)` for each stretch of normal pixels of image `image`, whose map is
/// `map`, and `on_anomalous(scores, region)` for each run of its mask; `region` indexes
/// `pixels.weights`.
template <typename OnNormal, typename OnAnomalous>
void for_each_stretch(const CategoryPixels& pixels,
                      std::size_t image,
                      std::span<const float> map,
                      OnNormal on_normal,
                      OnAnomalous on_anomalous) {
  const MaskRuns& mask = pixels.masks[image];
  std::size_t next = 0;
  for (const MaskRun& run : mask.runs) {
    const std::size_t row = static_cast<std::size_t>(run.row) * mask.width;
    const std::size_t first = row + run.first;
    if (next < first) on_normal(map.subspan(next, first - next));
    next = row + run.last + 1;
    on_anomalous(map.subspan(first, next - first), pixels.first_region[image] + run.region);
  }
  if (next < map.size()) on_normal(map.subspan(next));
}

}  // namespace assay
