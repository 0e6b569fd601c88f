#pragma once

#include "datasets/mask_runs.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// Metrics of one category at one level; fractions in [0, 1], nothing where undefined
/// (`spec/metrics.md` 6.1).
struct ImageMetrics {
  std::optional<double> auroc, ap, f1max;
  std::optional<float> f1max_threshold;
  std::int64_t num_normal = 0, num_anomalous = 0;
  std::string undefined_because;  ///< `no_normals`, `no_anomalies`; empty where all are defined.
  bool operator==(const ImageMetrics&) const = default;
};

struct PixelMetrics {
  std::optional<double> auroc, ap, f1max, aupro, aupro_cflow200;
  std::optional<float> f1max_threshold;
  std::int64_t num_normal = 0, num_anomalous = 0, num_regions = 0;  ///< Pixels, pixels, regions.
  /// `no_anomalous_pixels`, `no_normal_pixels`, `no_masks`; empty where all but cflow200 are
  /// defined.
  std::string undefined_because;
  std::string cflow200_undefined_because;  ///< The same, or as `evaluator/cflow200.h` lists.
  bool operator==(const PixelMetrics&) const = default;
};

struct PixelOptions {
  double aupro_limit = 0.3;  ///< FPR up to which PRO is integrated.
  bool cflow200 =
      true;  ///< Also the papers' 200-threshold variant (`spec/metrics.md` 4.3, mode numpy1).
  int num_threads = 1;  ///< Changes no bit.
};

/// AUROC, AP, F1-max over images (`spec/metrics.md` 2). Labels 0 or 1. Exact.
/// Throws std::invalid_argument where lengths differ or a score is NaN or infinite.
[[nodiscard]] ImageMetrics image_metrics(std::span<const float> scores,
                                         std::span<const std::uint8_t> labels);
/// The same, exact where float32 would merge scores, too; only the threshold is rounded to it.
[[nodiscard]] ImageMetrics image_metrics(std::span<const double> scores,
                                         std::span<const std::uint8_t> labels);

/// Metrics over all pixels of one category: `maps[i]` has masks[i].height * masks[i].width scores,
/// row-major. Exact (`spec/metrics.md` 3, 4, 7.1); the same bits for every order of the
/// images and number of threads.
/// Throws std::invalid_argument on sizes that differ; DataError naming the image's index on NaN or
/// infinity.
[[nodiscard]] PixelMetrics pixel_metrics(std::span<const std::span<const float>> maps,
                                         std::span<const MaskRuns> masks,
                                         const PixelOptions& options = {});

/// Where maps come from: the scores of image `image` for one of `num_threads` threads, good until
/// that thread asks again.
using MapSource = std::function<std::span<const float>(std::size_t image, int thread)>;

/// The same where maps are made when asked for, so that never all are in memory: each at most
/// twice, with the same bits, and those up to the first that is not finite once more.
[[nodiscard]] PixelMetrics pixel_metrics(const MapSource& map_of,
                                         std::span<const MaskRuns> masks,
                                         const PixelOptions& options = {});

}  // namespace assay
