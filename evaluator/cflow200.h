#pragma once

#include "evaluator/category_pixels.h"

#include <optional>
#include <string>
#include <vector>

namespace assay {

/// Reason where the caller did not want it.
inline constexpr const char* kCflow200NotAskedFor = "not_asked_for";

/// AUPRO as FAPrompt's `metrics.py` computes it (`cal_pro_score`, first seen in cflow-ad), for
/// comparison with published tables (`spec/metrics.md` 4.3). Not a rank metric.
struct Cflow200 {
  std::optional<double> value;
  /// Where the released function raises or returns NaN: `no_regions`, `no_normal_pixels`,
  /// `constant_scores`, `score_range_overflows`, `fewer_than_two_points`, `equal_fpr`.
  std::string undefined_because;
};

/// `range` of all scores, finite.
[[nodiscard]] Cflow200 aupro_cflow200(const CategoryPixels& pixels,
                                      const KeyRange& range,
                                      int num_threads = 1);

/// The thresholds between the lowest and the highest score, ascending, as NumPy 1's arange forms
/// them: 200, or 201 through rounding. Both scores finite, their float32 difference positive and
/// finite.
[[nodiscard]] std::vector<float> cflow200_thresholds(float lowest, float highest);

}  // namespace assay
