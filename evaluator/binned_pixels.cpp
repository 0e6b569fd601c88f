#include "evaluator/binned_pixels.h"

#include "core/error.h"
#include "evaluator/cflow200.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace assay {
namespace {

constexpr std::uint64_t kFormat = 0x31'6E'69'62'79'61'73'61ULL;  // "asaybin1"

// Monotone in `score`, which is all that the brackets ask of it.
std::int32_t bin_index(float score, float lowest, float bins_per_score, float last_bin) {
  const float position = (score - lowest) * bins_per_score;
  const float from_first = position > 0 ? position : 0;  // NaN too.
  return static_cast<std::int32_t>(from_first < last_bin ? from_first : last_bin);
}

// The least that p anomalous pixels add to P * AP, below TP others and FP normal ones:
// sum_i (TP + i) / (TP + i + FP) for i = 1..p, of which this is a lower bound in closed form, since
// sum_i 1 / (x + i) <= ln(1 + p / x).
double least_precision_sum(double true_positives, double false_positives, double count) {
  const double above = true_positives + false_positives;
  if (above == 0) return count;
  return std::max(0.0, count - false_positives * std::log1p(count / above));
}

}  // namespace

BinnedPixels::BinnedPixels(float lowest, float highest, int num_bins)
    : lowest_(lowest),
      highest_(highest),
      bins_per_score_(static_cast<float>(std::min(num_bins / (double{highest} - double{lowest}),
                                                  double{std::numeric_limits<float>::max()}))),
      normal_(static_cast<std::size_t>(num_bins)),
      anomalous_(normal_.size()),
      weights_(normal_.size()),
      recent_normal_(normal_.size()) {
  if (num_bins < 1 || num_bins > kNumBins || !(lowest <= highest)) {
    throw std::invalid_argument(
        fmt::format("BinnedPixels: {} bins from {} to {}, expected 1 to {} bins and an interval",
                    num_bins, lowest, highest, kNumBins));
  }
}

std::uint16_t BinnedPixels::bin_of(float score) const {
  return static_cast<std::uint16_t>(
      bin_index(score, lowest_, bins_per_score_, static_cast<float>(normal_.size() - 1)));
}

std::uint32_t BinnedPixels::lowest_key_of(std::size_t bin) const {
  if (bin == 0) return score_key(lowest_);
  std::uint32_t below = score_key(lowest_), above = score_key(highest_);
  while (above - below > 1) {
    const std::uint32_t middle = std::midpoint(below, above);
    (bin_of(score_of_key(middle)) < bin ? below : above) = middle;
  }
  return above;
}

void BinnedPixels::count_normals(std::span<const float> scores) {
  constexpr std::size_t kChunk = 1024;
  std::array<std::uint16_t, kChunk> bins;
  const float lowest = lowest_, bins_per_score = bins_per_score_;
  const auto last_bin = static_cast<float>(normal_.size() - 1);
  std::uint32_t* const counts = recent_normal_.data();
  for (std::size_t begin = 0; begin < scores.size(); begin += kChunk) {
    const std::size_t size = std::min(kChunk, scores.size() - begin);
    const float* const chunk = scores.data() + begin;
    for (std::size_t i = 0; i < size; ++i) {
      bins[i] = static_cast<std::uint16_t>(bin_index(chunk[i], lowest, bins_per_score, last_bin));
    }
    // Four bins a load: the loads are what counting waits for.
    std::size_t i = 0;
    for (; i + 4 <= size; i += 4) {
      std::uint64_t four = 0;
      std::memcpy(&four, bins.data() + i, sizeof four);
      ++counts[four & 0xFFFF];
      ++counts[four >> 16 & 0xFFFF];
      ++counts[four >> 32 & 0xFFFF];
      ++counts[four >> 48];
    }
    for (; i < size; ++i) ++counts[bins[i]];
  }
}

void BinnedPixels::add(std::span<const float> map, const MaskRuns& mask) {
  if (map.size() != static_cast<std::size_t>(mask.height) * static_cast<std::size_t>(mask.width)) {
    throw std::invalid_argument(fmt::format("BinnedPixels: a map of {} scores, its mask is {} x {}",
                                            map.size(), mask.height, mask.width));
  }
  make_room_for(map.size());
  std::size_t next = 0;
  for (const MaskRun& run : mask.runs) {
    const std::size_t row = static_cast<std::size_t>(run.row) * mask.width;
    count_normals(map.subspan(next, row + run.first - next));
    next = row + run.last + 1;
    const auto area = static_cast<std::uint64_t>(mask.areas[static_cast<std::size_t>(run.region)]);
    const std::uint64_t weight = ((std::uint64_t{1} << 62) + area / 2) / area;
    for (std::size_t i = row + run.first; i < next; ++i) {
      const std::size_t bin = bin_of(map[i]);
      ++anomalous_[bin];
      weights_[bin] += weight;
    }
  }
  count_normals(map.subspan(next));
  num_regions_ += mask.areas.size();
}

void BinnedPixels::make_room_for(std::uint64_t num_pixels) {
  num_recent_ += num_pixels;
  if (num_recent_ <= std::numeric_limits<std::uint32_t>::max()) return;
  for (std::size_t bin = 0; bin < normal_.size(); ++bin) {
    normal_[bin] += std::exchange(recent_normal_[bin], 0);
  }
  num_recent_ = num_pixels;
}

std::vector<std::uint64_t> BinnedPixels::normal_counts() const {
  std::vector<std::uint64_t> counts = normal_;
  for (std::size_t bin = 0; bin < counts.size(); ++bin) counts[bin] += recent_normal_[bin];
  return counts;
}

void BinnedPixels::merge(const BinnedPixels& other) {
  if (std::bit_cast<std::uint32_t>(lowest_) != std::bit_cast<std::uint32_t>(other.lowest_) ||
      std::bit_cast<std::uint32_t>(highest_) != std::bit_cast<std::uint32_t>(other.highest_) ||
      normal_.size() != other.normal_.size()) {
    throw std::invalid_argument(fmt::format(
        "BinnedPixels: {} bins from {} to {} and {} from {} to {} cannot be added", normal_.size(),
        lowest_, highest_, other.normal_.size(), other.lowest_, other.highest_));
  }
  num_regions_ += other.num_regions_;
  const std::vector<std::uint64_t> normal = other.normal_counts();
  for (std::size_t bin = 0; bin < normal_.size(); ++bin) {
    normal_[bin] += normal[bin];
    anomalous_[bin] += other.anomalous_[bin];
    weights_[bin] += other.weights_[bin];
  }
}

// round(weight / R): the fixed point of AuproWalk, in which all regions together weigh 2^62.
std::vector<std::uint64_t> BinnedPixels::region_weights() const {
  std::vector<std::uint64_t> weights(weights_.size());
  std::ranges::transform(weights_, weights.begin(), [&](uint128 weight) {
    return static_cast<std::uint64_t>((weight + num_regions_ / 2) / num_regions_);
  });
  return weights;
}

BinnedMetrics BinnedPixels::result(double aupro_limit) const {
  BinnedMetrics result;
  PixelMetrics& metrics = result.metrics;
  const std::vector<std::uint64_t> normal_of = normal_counts();
  metrics.num_normal = std::accumulate(normal_of.begin(), normal_of.end(), std::int64_t{0});
  metrics.num_anomalous = std::accumulate(anomalous_.begin(), anomalous_.end(), std::int64_t{0});
  metrics.num_regions = static_cast<std::int64_t>(num_regions_);
  metrics.cflow200_undefined_because = kCflow200NotAskedFor;
  if (metrics.num_anomalous == 0)
    metrics.undefined_because = "no_anomalous_pixels";
  else if (metrics.num_normal == 0)
    metrics.undefined_because = "no_normal_pixels";
  if (!metrics.undefined_because.empty()) return result;

  const std::vector<std::uint64_t> weights = region_weights();
  const std::uint64_t total = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
  ScoreWalk walk(metrics.num_anomalous, metrics.num_normal);
  AuproWalk ties(metrics.num_normal, total, aupro_limit), anomalous_first = ties,
                                                          normal_first = ties;
  uint128 tied_pairs = 0;
  double least_precision = 0, most_precision = 0, most_f1 = 0;
  std::int64_t above_anomalous = 0, above_normal = 0;
  for (std::size_t bin = normal_.size(); bin-- > 0;) {
    const auto normal = static_cast<std::int64_t>(normal_of[bin]);
    const auto anomalous = static_cast<std::int64_t>(anomalous_[bin]);
    if (anomalous == 0) {
      walk.pass_normals(normal);
    } else {
      walk.pass_group(static_cast<std::uint32_t>(bin), anomalous, normal);
      tied_pairs += uint128(normal) * uint128(anomalous);
      least_precision += least_precision_sum(static_cast<double>(above_anomalous),
                                             static_cast<double>(above_normal + normal),
                                             static_cast<double>(anomalous));
      // Tied with each other and above all normal ones of the bin, all have its best precision.
      const auto covered = static_cast<double>(above_anomalous + anomalous);
      const double most = covered + static_cast<double>(above_normal);
      most_precision += static_cast<double>(anomalous) * covered / most;
      most_f1 =
          std::max(most_f1, 2 * covered / (static_cast<double>(metrics.num_anomalous) + most));
    }
    ties.pass_group(weights[bin], normal);
    anomalous_first.pass_group(weights[bin], 0);
    anomalous_first.pass_normals(normal);
    normal_first.pass_normals(normal);
    normal_first.pass_group(weights[bin], 0);
    above_anomalous += anomalous;
    above_normal += normal;
  }
  metrics.auroc = walk.auroc();
  metrics.ap = walk.ap();
  metrics.f1max = walk.f1max();
  metrics.f1max_threshold = score_of_key(lowest_key_of(walk.best_key()));
  metrics.aupro = ties.aupro();
  const auto num_anomalous = static_cast<double>(metrics.num_anomalous);
  const double half_ties =
      static_cast<double>(tied_pairs) / 2 / num_anomalous / static_cast<double>(metrics.num_normal);
  result.brackets = {.auroc = {*metrics.auroc - half_ties, *metrics.auroc + half_ties},
                     .ap = {least_precision / num_anomalous, most_precision / num_anomalous},
                     .f1max = {*metrics.f1max, most_f1},
                     .aupro = {normal_first.aupro(), anomalous_first.aupro()}};
  return result;
}

std::vector<std::byte> BinnedPixels::save() const {
  std::vector<std::uint64_t> words = {kFormat, std::bit_cast<std::uint32_t>(lowest_),
                                      std::bit_cast<std::uint32_t>(highest_), normal_.size(),
                                      num_regions_};
  const std::vector<std::uint64_t> normal = normal_counts();
  for (std::size_t bin = 0; bin < normal.size(); ++bin) {
    words.insert(words.end(),
                 {normal[bin], anomalous_[bin], static_cast<std::uint64_t>(weights_[bin]),
                  static_cast<std::uint64_t>(weights_[bin] >> 64)});
  }
  const auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

BinnedPixels BinnedPixels::load(std::span<const std::byte> bytes) {
  constexpr std::size_t kHeader = 5, kPerBin = 4;
  std::vector<std::uint64_t> words(bytes.size() / sizeof(std::uint64_t));
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), words.size() * sizeof words[0]);
  const bool has_header = words.size() > kHeader && words[0] == kFormat && words[3] >= 1 &&
                          words[3] <= std::uint64_t{kNumBins};
  if (!has_header || bytes.size() != (kHeader + kPerBin * words[3]) * sizeof words[0]) {
    throw DataError("{} bytes are no state of binned metrics of format 1; count the images again",
                    bytes.size());
  }
  BinnedPixels pixels(std::bit_cast<float>(static_cast<std::uint32_t>(words[1])),
                      std::bit_cast<float>(static_cast<std::uint32_t>(words[2])),
                      static_cast<int>(words[3]));
  pixels.num_regions_ = words[4];
  for (std::size_t bin = 0; bin < pixels.normal_.size(); ++bin) {
    const std::uint64_t* const word = words.data() + kHeader + kPerBin * bin;
    pixels.normal_[bin] = word[0];
    pixels.anomalous_[bin] = word[1];
    pixels.weights_[bin] = uint128(word[3]) << 64 | word[2];
  }
  return pixels;
}

}  // namespace assay
