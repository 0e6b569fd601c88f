#pragma once

#include "datasets/mask_runs.h"

#include <cstdint>
#include <optional>
#include <vector>

/// Slow, literal versions of the metrics, written from the definitions alone: what the fast ones
/// are tested against. They share no code with them.
namespace assay::oracle {

using Scores = std::vector<float>;
using Labels = std::vector<std::uint8_t>;

/// One image: scores and a byte mask, row-major.
struct PixelImage {
  std::int32_t height = 0, width = 0;
  Scores scores;
  Labels mask;
};

/// Connected components of a byte mask by flood fill, regions in raster order of their first pixel.
[[nodiscard]] MaskRuns flood_fill(const Labels& mask,
                                  std::int32_t height,
                                  std::int32_t width,
                                  int connectivity = 8);

/// The share of pairs (anomalous, normal) in the right order, ties one half.
[[nodiscard]] double auroc_by_pairs(const Scores& scores, const Labels& labels);
/// Sum over all distinct thresholds of the gain in recall times the precision there.
[[nodiscard]] double ap_by_thresholds(const Scores& scores, const Labels& labels);
[[nodiscard]] double f1max_by_thresholds(const Scores& scores, const Labels& labels);

/// Trapezoid over all distinct scores of the category, cut at `limit` by interpolation.
[[nodiscard]] double aupro_by_thresholds(const std::vector<PixelImage>& images,
                                         double limit,
                                         int connectivity = 8);
/// FAPrompt's function line by line: masks compared with each of the 200 thresholds anew. Nothing
/// where the Python raises or returns NaN.
[[nodiscard]] std::optional<double> cflow200_literal(const std::vector<PixelImage>& images);

/// All pixels of the images one after the other.
[[nodiscard]] PixelImage pooled(const std::vector<PixelImage>& images);

}  // namespace assay::oracle
