#include "evaluator/cflow200.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace assay {
namespace {

constexpr double kFprLimit = 0.3;
constexpr int kSteps = 200;

}  // namespace

std::vector<float> cflow200_thresholds(float lowest, float highest) {
  const double range = static_cast<double>(highest - lowest);
  const double delta = range / kSteps;
  const auto count = static_cast<std::size_t>(std::ceil(range / delta));
  const double step = (static_cast<double>(lowest) + delta) - static_cast<double>(lowest);
  std::vector<float> thresholds(count);
  for (std::size_t k = 0; k < count; ++k) {
    thresholds[k] = static_cast<float>(lowest + static_cast<double>(k) * step);
  }
  return thresholds;
}

Cflow200Counts::ThresholdIndex::ThresholdIndex(float lowest, float highest)
    : lowest_(lowest),
      steps_per_score_(static_cast<float>(kSteps / static_cast<double>(highest - lowest))) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  padded_.push_back(-kInfinity);
  for (const float threshold : cflow200_thresholds(lowest, highest)) padded_.push_back(threshold);
  last_guess_ = static_cast<float>(padded_.size() - 1);
  padded_.push_back(kInfinity);
}

inline std::size_t Cflow200Counts::ThresholdIndex::num_below(float score) const {
  // Not max(0, ...): where the range is subnormal, 0 * infinity is NaN, and the comparison's order
  // makes it 0.
  const float scaled = (score - lowest_) * steps_per_score_;
  const float guess = scaled > 0 ? std::min(scaled + 1, last_guess_) : 0;
  std::size_t index = static_cast<std::size_t>(static_cast<std::int32_t>(guess));
  while (!(padded_[index] < score)) --index;
  while (padded_[index + 1] < score) ++index;
  return index;
}

Cflow200Counts::Cflow200Counts(const CategoryPixels& pixels, const KeyRange& range, int num_threads)
    : pixels_(pixels) {
  const float lowest = score_of_key(range.lowest), highest = score_of_key(range.highest);
  if (pixels.num_anomalous == 0)
    undefined_because_ = "no_regions";
  else if (pixels.num_normal == 0)
    undefined_because_ = "no_normal_pixels";
  else if (highest - lowest == 0)
    undefined_because_ = "constant_scores";
  else if (!std::isfinite(highest - lowest))
    undefined_because_ = "score_range_overflows";
  if (!undefined_because_.empty()) return;
  index_ = ThresholdIndex(lowest, highest);
  counts_.resize(static_cast<std::size_t>(num_threads));
  for (ThreadCounts& counts : counts_) {
    counts.normals.resize(index_.num_bins());
    counts.weights.resize(index_.num_bins());
  }
}

void Cflow200Counts::add(std::size_t image, std::span<const float> map, int thread) {
  if (counts_.empty()) return;
  ThreadCounts& counts = counts_[static_cast<std::size_t>(thread)];
  for_each_stretch(
      pixels_, image, map,
      [&](std::span<const float> scores) {
        for (std::size_t x = 0; x < scores.size(); ++x) {
          ++counts.normals[index_.num_below(scores[x])][x % kLanes];
        }
      },
      [&](std::span<const float> scores, std::uint32_t region) {
        const std::uint64_t weight = pixels_.weights[region];
        for (const float score : scores) counts.weights[index_.num_below(score)] += weight;
      });
}

// Points with an FPR below the limit, by falling threshold: rising FPR.
std::vector<Cflow200Counts::Point> Cflow200Counts::kept_points() const {
  std::vector<Point> points;
  std::uint64_t normals = 0, weight = 0;
  for (std::size_t bin = index_.num_bins(); bin-- > 1;) {
    for (const ThreadCounts& counts : counts_) {
      for (const std::uint64_t lane : counts.normals[bin]) normals += lane;
      weight += counts.weights[bin];
    }
    const double fpr = static_cast<double>(normals) / static_cast<double>(pixels_.num_normal);
    if (!(fpr < kFprLimit)) break;
    points.push_back(
        {fpr, static_cast<double>(weight) / static_cast<double>(pixels_.total_weight)});
  }
  return points;
}

Cflow200 Cflow200Counts::result() const {
  if (!undefined_because_.empty()) return {{}, undefined_because_};
  const std::vector<Point> points = kept_points();
  if (points.size() < 2) return {{}, "fewer_than_two_points"};
  const double kept = points.back().fpr - points.front().fpr;
  if (kept == 0) return {{}, "equal_fpr"};
  double area = 0;
  for (std::size_t i = 1; i < points.size(); ++i) {
    area += (points[i].fpr - points[i - 1].fpr) / kept * (points[i].pro + points[i - 1].pro) / 2;
  }
  return {area, ""};
}

}  // namespace assay
