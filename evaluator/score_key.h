#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>

namespace assay {

/// Unsigned key of a finite score: keys compare as the scores do, -0 has the key of +0
/// (`spec/metrics.md` 1 and 7.0). Integer arithmetic alone, so that subnormal scores keep their
/// order even where the processor flushes them to zero.
[[nodiscard]] inline std::uint32_t score_key(float score) {
  constexpr std::uint32_t kSign = 0x80000000U;
  std::uint32_t bits = std::bit_cast<std::uint32_t>(score);
  bits = bits == kSign ? 0U : bits;
  return bits ^ (static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> 31) | kSign);
}

/// The score that has the key `key`; +0 for both zeros.
[[nodiscard]] inline float score_of_key(std::uint32_t key) {
  constexpr std::uint32_t kSign = 0x80000000U;
  return std::bit_cast<float>((key & kSign) != 0 ? key ^ kSign : ~key);
}

/// The lowest and the highest of some keys.
struct KeyRange {
  std::uint32_t lowest = 0xFFFFFFFFU, highest = 0;

  void include(const KeyRange& other) {
    lowest = std::min(lowest, other.lowest);
    highest = std::max(highest, other.highest);
  }
  /// Whether all are keys of finite scores: those of NaN lie beyond those of the infinities, on
  /// either side.
  [[nodiscard]] bool is_finite() const {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    return lowest > score_key(-kInfinity) && highest < score_key(kInfinity);
  }
};

[[nodiscard]] inline KeyRange key_range(std::span<const float> scores) {
  KeyRange range;
  for (const float score : scores) {
    const std::uint32_t key = score_key(score);
    range.lowest = std::min(range.lowest, key);
    range.highest = std::max(range.highest, key);
  }
  return range;
}

}  // namespace assay
