#include "evaluator/aupimo.h"

#include "core/threads.h"
#include "evaluator/score_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>

namespace assay {
namespace {

using Keys = std::vector<std::uint32_t>;

// Of the keys that it is given, at least the `count` highest, with all that tie with the last one.
class TopKeys {
 public:
  explicit TopKeys(std::size_t count) : count_(count) {}

  void add(std::span<const float> scores) {
    constexpr std::size_t kChunk = 1024;  // Most have no high key: one look at the highest.
    for (std::size_t begin = 0; begin < scores.size(); begin += kChunk) {
      const auto chunk = scores.subspan(begin, std::min(kChunk, scores.size() - begin));
      const KeyRange range = key_range(chunk);
      range_.include(range);
      if (range.highest < bound_) continue;
      for (const float score : chunk) {
        if (score_key(score) >= bound_) keys_.push_back(score_key(score));
      }
      if (keys_.size() > prune_at_) prune();
    }
  }
  void add(const TopKeys& other) {
    keys_.insert(keys_.end(), other.keys_.begin(), other.keys_.end());
    range_.include(other.range_);
  }

  [[nodiscard]] const KeyRange& range() const { return range_; }
  [[nodiscard]] Keys descending() && {
    std::ranges::sort(keys_, std::greater<>());
    return std::move(keys_);
  }

 private:
  void prune() {
    const auto last = keys_.begin() + static_cast<std::ptrdiff_t>(count_ - 1);
    std::ranges::nth_element(keys_, last, std::greater<>());
    bound_ = *last;
    std::erase_if(keys_, [&](std::uint32_t key) { return key < bound_; });
    prune_at_ = 2 * keys_.size() + kSlack;  // Where most tie, not every time.
  }

  static constexpr std::size_t kSlack = 1 << 16;
  std::size_t count_, prune_at_ = count_ + kSlack;
  std::uint32_t bound_ = 0;
  Keys keys_;
  KeyRange range_;  // Of all.
};

TopKeys top_keys(std::span<const std::span<const float>> maps,
                 const std::vector<std::size_t>& images,
                 std::size_t count,
                 const AupimoOptions& options) {
  std::vector<TopKeys> shares(static_cast<std::size_t>(options.num_threads), TopKeys(count));
  for_each_item(options.num_threads, images.size(), [&](std::size_t item, int thread) {
    shares[static_cast<std::size_t>(thread)].add(maps[images[item]]);
    options.after_image(images[item]);
  });
  for (std::size_t share = 1; share < shares.size(); ++share) shares[0].add(shares[share]);
  return std::move(shares[0]);
}

// How many of the keys, descending, are at least `key`; the search goes on from `from`.
std::size_t num_from(const Keys& keys, std::uint32_t key, std::size_t from = 0) {
  while (from < keys.size() && keys[from] >= key) ++from;
  return from;
}

// The keys of an image's anomalous pixels from `lowest` on, descending.
Keys anomalous_keys(std::span<const float> map, const MaskRuns& mask, std::uint32_t lowest) {
  Keys keys;
  for (const MaskRun& run : mask.runs) {
    const std::size_t row = static_cast<std::size_t>(run.row) * mask.width;
    for (std::size_t i = row + run.first; i <= row + run.last; ++i) {
      const std::uint32_t key = score_key(map[i]);
      if (key >= lowest) keys.push_back(key);
    }
  }
  std::ranges::sort(keys, std::greater<>());
  return keys;
}

// The integral over one piece from f0 to f1, over which T goes from t0 to t1 along ln F, as far as
// it lies between the bounds. At f0 = 0, below the first normal pixel, T is t0.
double piece(double f0, double f1, double t0, double t1, const AupimoOptions& options) {
  const double begin = std::max(f0, options.lower), end = std::min(f1, options.upper);
  if (begin >= end) return 0;
  if (f0 == 0 || t0 == t1) return t0 * std::log(end / begin);
  const auto at = [&](double f) { return t0 + (t1 - t0) * std::log(f / f0) / std::log(f1 / f0); };
  return (at(begin) + at(end)) / 2 * std::log(end / begin);
}

double exact_of_image(const Keys& anomalous,
                      double area,
                      const Keys& normal,
                      double num_normal,
                      const AupimoOptions& options) {
  double sum = 0, f = 0;
  std::size_t covered = 0;
  for (std::size_t first = 0; first < normal.size() && f < options.upper;) {
    const std::size_t last = num_from(normal, normal[first], first);
    const double next_f = static_cast<double>(last) / num_normal;
    // No key lies between two neighbours: from the next higher one on is above the group.
    covered = num_from(anomalous, normal[first] + 1, covered);
    const double above = static_cast<double>(covered) / area;
    covered = num_from(anomalous, normal[first], covered);
    sum += piece(f, next_f, above, static_cast<double>(covered) / area, options);
    f = next_f;
    first = last;
  }
  return std::clamp(sum / std::log(options.upper / options.lower), 0.0, 1.0);
}

// anomalib's thresholds: torch.linspace in float32 over the scores of normal images.
class Grid {
 public:
  explicit Grid(const KeyRange& range)
      : lowest_(score_of_key(range.lowest)),
        highest_(score_of_key(range.highest)),
        step_((highest_ - lowest_) / static_cast<float>(kSize - 1)) {}

  static constexpr int kSize = 300'000;
  [[nodiscard]] float at(int index) const {
    return index < kSize / 2 ? lowest_ + step_ * static_cast<float>(index)
                             : highest_ - step_ * static_cast<float>(kSize - 1 - index);
  }

 private:
  float lowest_, highest_, step_;
};

// One threshold of the grid with the normal pixels from there on.
struct GridPoint {
  std::uint32_t key;
  std::size_t num_normal;
  double log_normal = 0;  // ln of it.
};

// The points of the grid between those nearest to the bounds, by rising false positive rate, or
// the reason why there are none.
std::vector<GridPoint> grid_points(const Keys& normal,
                                   const KeyRange& range,
                                   double num_normal,
                                   const AupimoOptions& options,
                                   std::string& undefined_because) {
  const Grid grid(range);
  // From the highest threshold down, to well below the upper bound: a rate beyond twice the bound
  // is farther from it than 0 is.
  std::vector<GridPoint> points;
  std::size_t covered = 0;
  for (int index = Grid::kSize; index-- > 0;) {
    const std::uint32_t key = score_key(grid.at(index));
    covered = num_from(normal, key, covered);
    points.push_back({.key = key, .num_normal = covered});
    if (static_cast<double>(covered) > 2 * options.upper * num_normal) break;
  }
  // Of equally near ones the lowest threshold, as argmin takes it.
  const auto nearest = [&](double rate) {
    std::size_t best = 0;
    double least = 2;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double distance =
          std::abs(static_cast<double>(points[i].num_normal) / num_normal - rate);
      if (distance > least) continue;
      least = distance;
      best = i;
    }
    return best;
  };
  if (static_cast<double>(points.front().num_normal) / num_normal > options.lower) {
    undefined_because = "bounds_not_reached";
    return {};
  }
  const std::size_t first = nearest(options.lower), last = nearest(options.upper);
  std::vector<GridPoint> inside;
  for (std::size_t i = first; i <= last && first < last; ++i) {
    if (points[i].num_normal == 0) continue;
    inside.push_back(points[i]);
    inside.back().log_normal = std::log(static_cast<double>(points[i].num_normal));
  }
  if (inside.size() <= 30) {
    undefined_because = "fewer_than_31_points";
    return {};
  }
  return inside;
}

double grid_of_image(const Keys& anomalous,
                     double area,
                     const std::vector<GridPoint>& points,
                     const AupimoOptions& options) {
  double sum = 0, previous = 0;
  std::size_t covered = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    covered = num_from(anomalous, points[i].key, covered);
    const double share = static_cast<double>(covered) / area;
    if (i > 0) {
      sum += (previous + share) / 2 * (points[i].log_normal - points[i - 1].log_normal);
    }
    previous = share;
  }
  return std::clamp(sum / std::log(options.upper / options.lower), 0.0, 1.0);
}

void take_mean(AupimoValues& values) {
  if (!values.undefined_because.empty()) return;
  double sum = 0;
  std::int64_t count = 0;
  for (const std::optional<double>& value : values.by_image) {
    sum += value.value_or(0);
    count += value ? 1 : 0;
  }
  values.mean = sum / static_cast<double>(count);
}

}  // namespace

Aupimo aupimo(std::span<const std::span<const float>> maps,
              const std::vector<bool>& is_anomalous,
              const std::function<MaskRuns(std::size_t image)>& mask_of,
              const AupimoOptions& options) {
  if (!(options.lower > 0 && options.lower < options.upper && options.upper <= 1)) {
    throw std::invalid_argument(
        fmt::format("aupimo: bounds {} and {}, expected 0 < lower < upper "
                    "<= 1",
                    options.lower, options.upper));
  }
  std::vector<std::size_t> normal_images, anomalous_images;
  Aupimo result;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    (is_anomalous[i] ? anomalous_images : normal_images).push_back(i);
    if (!is_anomalous[i]) result.num_normal_pixels += static_cast<std::int64_t>(maps[i].size());
  }
  result.exact.by_image.resize(maps.size());
  result.grid.by_image.resize(maps.size());
  if (anomalous_images.empty())
    result.exact.undefined_because = "no_anomalous_masks";
  else if (normal_images.empty())
    result.exact.undefined_because = "no_normal_masks";
  result.grid.undefined_because = result.exact.undefined_because;
  if (!result.exact.undefined_because.empty()) return result;

  const auto num_normal = static_cast<double>(result.num_normal_pixels);
  // Twice as many as the upper bound covers: what the grid looks at.
  const auto count = static_cast<std::size_t>(std::ceil(2 * options.upper * num_normal)) + 1;
  TopKeys top = top_keys(maps, normal_images, count, options);
  const KeyRange range = top.range();
  const Keys normal = std::move(top).descending();
  result.num_inside = static_cast<std::int64_t>(std::floor(options.upper * num_normal)) -
                      static_cast<std::int64_t>(std::floor(options.lower * num_normal));
  const std::vector<GridPoint> points =
      grid_points(normal, range, num_normal, options, result.grid.undefined_because);
  const std::uint32_t lowest =
      points.empty() ? normal.back() : std::min(normal.back(), points.back().key);
  for_each_item(options.num_threads, anomalous_images.size(), [&](std::size_t item, int) {
    const std::size_t image = anomalous_images[item];
    const MaskRuns mask = mask_of(image);
    const auto area = std::accumulate(mask.areas.begin(), mask.areas.end(), 0.0);
    const Keys keys = anomalous_keys(maps[image], mask, lowest);
    result.exact.by_image[image] = exact_of_image(keys, area, normal, num_normal, options);
    if (!points.empty()) result.grid.by_image[image] = grid_of_image(keys, area, points, options);
    options.after_image(image);
  });
  take_mean(result.exact);
  take_mean(result.grid);
  return result;
}

}  // namespace assay
