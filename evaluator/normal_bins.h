#pragma once

#include "evaluator/score_key.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace assay {

/// Keys from the lowest to the highest anomalous one in bins of 2^shift neighbours, at most 4096 of
/// them unless that would leave a key more than 16 lower bits.
struct KeyBins {
  KeyBins(std::uint32_t lowest_key, std::uint32_t highest_key);

  [[nodiscard]] std::size_t bin_of(std::uint32_t key) const { return (key - lowest_key) >> shift; }
  [[nodiscard]] std::uint32_t lowest_key_of(std::size_t bin) const {
    return lowest_key + (static_cast<std::uint32_t>(bin) << shift);
  }

  std::uint32_t lowest_key, highest_key;
  int shift;
  std::size_t num_bins;
};

/// Normal pixels dealt to bins of keys: of each pixel a bin keeps the lower bits of its key, two
/// bytes.
///
/// Each bin collects a cache line of lower bits in an array of all bins' lines, which stays in the
/// second-level cache, and moves full lines to blocks of 2 KiB.
class NormalBins {
 public:
  /// `is_wanted`, by bin: whether its pixels are kept, or counted only.
  NormalBins(const KeyBins& bins, std::vector<bool> is_wanted);
  NormalBins(NormalBins&&) = default;
  NormalBins& operator=(NormalBins&&) = default;
  NormalBins(const NormalBins&) = delete;
  NormalBins& operator=(const NormalBins&) = delete;
  ~NormalBins();

  void add(std::span<const float> scores);
  /// After the last `add`, on its thread: others may read.
  void publish();

  /// Pixels whose key is above the highest anomalous one.
  [[nodiscard]] std::int64_t num_above() const { return num_above_; }
  [[nodiscard]] std::int64_t num_in(std::size_t bin) const {
    return std::int64_t{num_lines_[bin]} * kLine + fill(bin);
  }
  /// Of all pixels that were added.
  [[nodiscard]] const KeyRange& range() const { return range_; }

  /// Calls `visit(lower_bits)`, a span of std::uint16_t, for each piece of a bin that is wanted.
  template <typename Visit>
  void for_each_piece(std::size_t bin, Visit visit) const {
    visit(std::span<const std::uint16_t>(lines_.get() + bin * kLine, fill(bin)));
    // The last block is filled in part, unless it is full.
    std::size_t left = std::size_t{num_lines_[bin]} * kLine;
    for (std::uint32_t block = last_block_[bin]; left > 0; block = previous_block_[block]) {
      const std::size_t size = (left - 1) % kBlock + 1;
      visit(std::span<const std::uint16_t>(block_begin(block), size));
      left -= size;
    }
  }

 private:
  static constexpr std::size_t kLine = 32;     // Lower bits in a cache line.
  static constexpr std::size_t kBlock = 1024;  // Lower bits in a block.
  static constexpr std::size_t kBlocksPerSlab = 1024;

  struct Free {
    void operator()(std::uint16_t* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<std::uint16_t[], Free>;
  static Memory allocate(std::size_t alignment, std::size_t count);
  class SpareSlabs;

  [[nodiscard]] std::size_t fill(std::size_t bin) const { return next_[bin] % kLine; }
  [[nodiscard]] std::uint16_t* block_begin(std::uint32_t block) const {
    return slabs_[block / kBlocksPerSlab].get() + block % kBlocksPerSlab * kBlock;
  }
  void move_line(std::uint32_t bin);

  KeyBins bins_;
  std::vector<bool> is_wanted_;
  std::int64_t num_above_ = 0;
  KeyRange range_;
  // By bin, one more for pixels outside of the bins: entries in `lines_`, of which the last one
  // counts; full lines; the block of the last full line.
  std::vector<std::uint16_t> next_;
  std::vector<std::uint32_t> num_lines_, last_block_;
  Memory lines_;
  std::vector<Memory> slabs_;
  std::vector<std::uint32_t> previous_block_;  // By block: the bin's block before.
};

}  // namespace assay
