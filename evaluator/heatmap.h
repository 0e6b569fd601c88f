#pragma once

#include "datasets/image.h"
#include "datasets/mask_runs.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace assay {

/// The scores that get the lowest and the highest colour. {0, 1} compares pictures of all
/// categories and methods; `range_of_maps` shows the most of one category.
struct HeatRange {
  float low = 0, high = 1;
};

/// Lowest and highest score of `maps`, those of one category.
[[nodiscard]] HeatRange range_of_maps(std::span<const std::span<const float>> maps);

/// Colour of `share` in [0, 1], RGB bytes: matplotlib's inferno, perceptually uniform and readable
/// without colour vision, as the polynomial of M. Zucker (shadertoy.com/view/WlfXRN, CC0), within
/// 0.02 of the table.
[[nodiscard]] std::array<std::uint8_t, 3> heat_colour(double share);

/// Photo, photo with the ground truth outlined, and photo with the anomaly map over it, side by
/// side; each panel is as large as the map.
///
/// `map` has size * size scores, row-major; a smoothed map of any size comes from
/// `AnomalyMapOperator` with `eval_size = size`. `mask` is of the same size; nullptr leaves the
/// second panel out (data sets without masks), a mask without runs shows a normal image.
[[nodiscard]] Image heatmap_picture(const Image& photo,
                                    std::span<const float> map,
                                    std::int32_t size,
                                    const MaskRuns* mask,
                                    const HeatRange& range);

/// `<score>-<normal|anomalous>-<path with '-' for '/'>.png`: sorted by name, a folder is sorted by
/// score. `image_path` is the image's path below its data set's root.
[[nodiscard]] std::filesystem::path heatmap_name(const std::string& image_path,
                                                 int label,
                                                 float image_score);

}  // namespace assay
