#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace assay {

/// The keys of normal pixels between the lowest and the highest anomalous key, dealt to bins of
/// 2^shift neighbouring keys by their upper bits; a bin keeps the lower bits, two bytes a pixel.
///
/// A bin is a chain of blocks, each 2 KiB at a multiple of 2 KiB, so that a full block shows in the
/// cursor itself and a pixel costs one load and two stores. Blocks begin with a pointer to the
/// bin's block before.
class NormalBins {
 public:
  NormalBins(std::uint32_t lowest_key, std::uint32_t highest_key);

  void add(std::span<const float> scores);

  [[nodiscard]] std::size_t num_bins() const { return cursors_.size(); }
  [[nodiscard]] int shift() const { return shift_; }
  /// Pixels whose key is above the highest anomalous one.
  [[nodiscard]] std::int64_t num_above() const { return num_above_; }

  /// Calls `visit(lower_bits)`, a span of std::uint16_t, for each block of a bin.
  template <typename Visit>
  void for_each_block(std::size_t bin, Visit visit) const {
    const std::uint16_t* end = cursors_[bin];
    while (end != nullptr) {
      const std::uint16_t* block = end - (block_offset(end - 1) + 1);
      visit(std::span<const std::uint16_t>(block + kHeader, end));
      const std::uint16_t* previous = nullptr;
      std::memcpy(&previous, block, sizeof previous);
      end = previous == nullptr ? nullptr : previous + kBlock;
    }
  }

 private:
  static constexpr std::size_t kBlock = 1024;  // Lower bits in a block, its header included.
  static constexpr std::size_t kHeader = sizeof(void*) / sizeof(std::uint16_t);
  static constexpr std::size_t kSlabBytes = std::size_t{2} << 20;

  struct Free {
    void operator()(std::uint16_t* memory) const { std::free(memory); }
  };

  static std::size_t block_offset(const std::uint16_t* cursor) {
    return reinterpret_cast<std::uintptr_t>(cursor) / sizeof(std::uint16_t) % kBlock;
  }
  std::uint16_t* new_block(const std::uint16_t* full_end);

  std::uint32_t lowest_key_, range_;
  int shift_;
  std::int64_t num_above_ = 0;
  std::vector<std::uint16_t*> cursors_;  // By bin: behind its last entry, or nullptr.
  std::vector<std::unique_ptr<std::uint16_t, Free>> slabs_;
  std::size_t used_in_slab_ = kSlabBytes;
};

/// The smallest shift with (highest - lowest) >> shift below 4096, and at most 16.
[[nodiscard]] int bin_shift(std::uint32_t lowest_key, std::uint32_t highest_key);

}  // namespace assay
