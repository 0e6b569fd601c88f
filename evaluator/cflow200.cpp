#include "evaluator/cflow200.h"

#include "core/threads.h"
#include "evaluator/score_key.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace assay {
namespace {

constexpr double kFprLimit = 0.3;
constexpr int kSteps = 200;

// Number of thresholds strictly below a score: a guess by multiplication, put right by comparing
// with the float32 thresholds themselves.
class ThresholdIndex {
 public:
  ThresholdIndex(const std::vector<float>& thresholds, float lowest, float range)
      : lowest_(lowest),
        steps_per_score_(static_cast<float>(kSteps / static_cast<double>(range))),
        last_guess_(static_cast<float>(thresholds.size())) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    padded_.push_back(-kInfinity);
    padded_.insert(padded_.end(), thresholds.begin(), thresholds.end());
    padded_.push_back(kInfinity);
  }

  [[nodiscard]] std::size_t num_below(float score) const {
    // Not max(0, ...): where the range is subnormal, 0 * infinity is NaN, and the comparison's
    // order makes it 0.
    const float scaled = (score - lowest_) * steps_per_score_;
    const float guess = scaled > 0 ? std::min(scaled + 1, last_guess_) : 0;
    std::size_t index = static_cast<std::size_t>(static_cast<std::int32_t>(guess));
    while (!(padded_[index] < score)) --index;
    while (padded_[index + 1] < score) ++index;
    return index;
  }

 private:
  float lowest_, steps_per_score_, last_guess_;
  std::vector<float> padded_;
};

struct Histogram {
  std::vector<std::uint64_t> normals;  // By number of thresholds below the score.
  std::vector<std::uint64_t> weights;
};

// Neighbouring pixels fall into the same bin: four counters in turn, so that none waits for the one
// before.
constexpr std::size_t kLanes = 4;

struct ThreadCounts {
  std::vector<std::array<std::uint64_t, kLanes>> normals;
  std::vector<std::uint64_t> weights;
};

void count_image(const CategoryPixels& pixels,
                 std::size_t image,
                 const ThresholdIndex& index,
                 ThreadCounts& counts) {
  for_each_stretch(
      pixels, image,
      [&](std::span<const float> scores) {
        for (std::size_t x = 0; x < scores.size(); ++x) {
          ++counts.normals[index.num_below(scores[x])][x % kLanes];
        }
      },
      [&](std::span<const float> scores, std::uint32_t region) {
        const std::uint64_t weight = pixels.weights[region];
        for (const float score : scores) counts.weights[index.num_below(score)] += weight;
      });
}

Histogram count(const CategoryPixels& pixels,
                const ThresholdIndex& index,
                std::size_t num_bins,
                int num_threads) {
  std::vector<ThreadCounts> counts(static_cast<std::size_t>(num_threads),
                                   {std::vector<std::array<std::uint64_t, kLanes>>(num_bins),
                                    std::vector<std::uint64_t>(num_bins)});
  for_each_item(num_threads, pixels.maps.size(), [&](std::size_t image, int thread) {
    count_image(pixels, image, index, counts[static_cast<std::size_t>(thread)]);
  });
  Histogram histogram{std::vector<std::uint64_t>(num_bins), std::vector<std::uint64_t>(num_bins)};
  for (const ThreadCounts& each : counts) {
    for (std::size_t b = 0; b < num_bins; ++b) {
      for (const std::uint64_t lane : each.normals[b]) histogram.normals[b] += lane;
      histogram.weights[b] += each.weights[b];
    }
  }
  return histogram;
}

struct Point {
  double fpr, pro;
};

// Points with an FPR below the limit, by falling threshold: rising FPR.
std::vector<Point> kept_points(const CategoryPixels& pixels, const Histogram& histogram) {
  std::vector<Point> points;
  std::uint64_t normals = 0, weight = 0;
  for (std::size_t bin = histogram.normals.size(); bin-- > 1;) {
    normals += histogram.normals[bin];
    weight += histogram.weights[bin];
    const double fpr = static_cast<double>(normals) / static_cast<double>(pixels.num_normal);
    if (!(fpr < kFprLimit)) break;
    points.push_back({fpr, static_cast<double>(weight) / static_cast<double>(pixels.total_weight)});
  }
  return points;
}

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

Cflow200 aupro_cflow200(const CategoryPixels& pixels, const KeyRange& range, int num_threads) {
  if (pixels.num_anomalous == 0) return {{}, "no_regions"};
  if (pixels.num_normal == 0) return {{}, "no_normal_pixels"};
  const float lowest = score_of_key(range.lowest), highest = score_of_key(range.highest);
  const float width = highest - lowest;
  if (width == 0) return {{}, "constant_scores"};
  if (!std::isfinite(width)) return {{}, "score_range_overflows"};

  const std::vector<float> thresholds = cflow200_thresholds(lowest, highest);
  const ThresholdIndex index(thresholds, lowest, width);
  const std::vector<Point> points =
      kept_points(pixels, count(pixels, index, thresholds.size() + 1, num_threads));
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
