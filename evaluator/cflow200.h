#pragma once

#include "evaluator/category_pixels.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
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

/// Counts a category's pixels between the thresholds, image by image, on several threads.
class Cflow200Counts {
 public:
  /// `range` of all scores. The category outlives this.
  Cflow200Counts(const CategoryPixels& pixels, const KeyRange& range, int num_threads);

  void add(std::size_t image, std::span<const float> map, int thread);
  /// Once all images have been added.
  [[nodiscard]] Cflow200 result() const;

 private:
  // Number of thresholds strictly below a score: a guess by multiplication, put right by comparing
  // with the float32 thresholds themselves.
  class ThresholdIndex {
   public:
    ThresholdIndex() = default;
    ThresholdIndex(float lowest, float highest);
    [[nodiscard]] std::size_t num_below(float score) const;
    [[nodiscard]] std::size_t num_bins() const { return padded_.size() - 1; }

   private:
    float lowest_ = 0, steps_per_score_ = 0, last_guess_ = 0;
    std::vector<float> padded_;  // The thresholds between infinities.
  };

  // Neighbouring pixels fall into the same bin: four counters in turn, so that none waits for the
  // one before.
  static constexpr std::size_t kLanes = 4;

  // By number of thresholds below the score.
  struct ThreadCounts {
    std::vector<std::array<std::uint64_t, kLanes>> normals;
    std::vector<std::uint64_t> weights;
  };

  struct Point {
    double fpr, pro;
  };
  [[nodiscard]] std::vector<Point> kept_points() const;

  const CategoryPixels& pixels_;
  std::string undefined_because_;
  ThresholdIndex index_;
  std::vector<ThreadCounts> counts_;
};

/// The thresholds between the lowest and the highest score, ascending, as NumPy 1's arange forms
/// them: 200, or 201 through rounding. Both scores finite, their float32 difference positive and
/// finite.
[[nodiscard]] std::vector<float> cflow200_thresholds(float lowest, float highest);

}  // namespace assay
