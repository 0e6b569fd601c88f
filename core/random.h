#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace assay {

/// Counter-based random numbers: draw i of a stream is a function of (seed, purpose, i) alone, so
/// that the order of evaluation, the number of ranks and what else was drawn before change nothing.
///
/// The bits of draw i are SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014) of
/// key + (i + 1) * 0x9E3779B97F4A7C15, the key being the FNV-1a hash of `purpose` mixed with
/// `seed`.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view purpose);

  /// 64 random bits of draw `index`.
  [[nodiscard]] std::uint64_t bits(std::uint64_t index) const;
  /// Uniform in [0, 1), 53 bits.
  [[nodiscard]] double uniform(std::uint64_t index) const;
  /// Standard normal (Box and Muller, 1958), from the draws 2 * index and 2 * index + 1.
  [[nodiscard]] double normal(std::uint64_t index) const;
  /// Uniform in [0, bound), bound > 0, without the bias of a remainder beyond 2^-64 * bound.
  [[nodiscard]] std::uint64_t below(std::uint64_t index, std::uint64_t bound) const;
  /// A uniformly random order of 0..size-1 (Fisher and Yates), from the draws 0..size-2.
  [[nodiscard]] std::vector<std::int64_t> permutation(std::int64_t size) const;

 private:
  std::uint64_t key_;
};

}  // namespace assay
