#pragma once

#include "datasets/mask_runs.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace assay {

struct AupimoOptions {
  /// Of the false positive rate on normal images: 0 < lower < upper <= 1.
  double lower = 1e-5, upper = 1e-4;
  int num_threads = 1;  ///< Changes no bit.
  /// Called when image i has been read, from several threads; it may be read again.
  std::function<void(std::size_t image)> after_image = [](std::size_t) {};
};

/// One variant of the metric.
struct AupimoValues {
  std::optional<double> mean;                   ///< Over the anomalous images.
  std::vector<std::optional<double>> by_image;  ///< Nothing for normal images.
  /// `no_anomalous_masks`, `no_normal_masks`; of the grid also `bounds_not_reached` and
  /// `fewer_than_31_points`. Empty where there is a mean.
  std::string undefined_because;
};

/// Area under the per-image overlap curve, Bertoldo, Ameln, Vaidya, Akcay, "AUPIMO", BMVC 2024
/// (`spec/metrics.md` 5):
///
///   AUPIMO_i = 1 / ln(U / L) * integral from L to U of T_i over ln F
///
/// F(t): share of the pixels of normal images with a score >= t; T_i(t): that of the anomalous
/// pixels of image i. Normal images are those whose mask is empty.
struct Aupimo {
  AupimoValues exact;  ///< Over all distinct scores.
  AupimoValues grid;   ///< As anomalib: over 300,000 thresholds, trapezoids between them.
  std::int64_t num_normal_pixels = 0;  ///< Of normal images.
  std::int64_t num_inside = 0;         ///< Of those, the ones between the bounds: few are noise.
};

/// `mask_of(i)` is the mask of image i, asked for from several threads. Scores are finite. Throws
/// std::invalid_argument where the bounds are no interval as above.
[[nodiscard]] Aupimo aupimo(std::span<const std::span<const float>> maps,
                            const std::vector<bool>& is_anomalous,
                            const std::function<MaskRuns(std::size_t image)>& mask_of,
                            const AupimoOptions& options = {});

}  // namespace assay
