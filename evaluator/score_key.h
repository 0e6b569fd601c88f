#pragma once

#include <bit>
#include <cstdint>

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

}  // namespace assay
