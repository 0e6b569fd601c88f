#include "evaluator/normal_bins.h"

#include "evaluator/score_key.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace assay {

int bin_shift(std::uint32_t lowest_key, std::uint32_t highest_key) {
  constexpr int kLogBins = 12;  // Measured: the write streams stay in the second-level cache.
  constexpr int kLowerBits = 16;
  const int bits = static_cast<int>(std::bit_width(highest_key - lowest_key));
  return std::clamp(bits - kLogBins, 0, kLowerBits);
}

NormalBins::NormalBins(std::uint32_t lowest_key, std::uint32_t highest_key)
    : lowest_key_(lowest_key),
      range_(highest_key - lowest_key),
      shift_(bin_shift(lowest_key, highest_key)),
      cursors_((std::size_t{range_} >> shift_) + 1) {}

void NormalBins::add(std::span<const float> scores) {
  const std::uint32_t lowest_key = lowest_key_, range = range_;
  const std::uint32_t lower_bits = (1U << shift_) - 1;
  const int shift = shift_;
  std::uint16_t** const cursors = cursors_.data();
  for (const float score : scores) {
    const std::uint32_t key = score_key(score);
    const std::uint32_t offset = key - lowest_key;
    if (offset > range) {
      num_above_ += key > lowest_key ? 1 : 0;
      continue;
    }
    std::uint16_t*& cursor = cursors[offset >> shift];
    if (block_offset(cursor) == 0) cursor = new_block(cursor);
    *cursor++ = static_cast<std::uint16_t>(offset & lower_bits);
  }
}

std::uint16_t* NormalBins::new_block(const std::uint16_t* full_end) {
  if (used_in_slab_ == kSlabBytes) {
    slabs_.emplace_back(static_cast<std::uint16_t*>(std::aligned_alloc(kSlabBytes, kSlabBytes)));
    if (slabs_.back() == nullptr) throw std::bad_alloc();
    // Thousands of bins are written in turn: with small pages each costs a table walk. Only a hint.
    (void)madvise(slabs_.back().get(), kSlabBytes, MADV_HUGEPAGE);
    used_in_slab_ = 0;
  }
  std::uint16_t* const block = slabs_.back().get() + used_in_slab_ / sizeof(std::uint16_t);
  used_in_slab_ += kBlock * sizeof(std::uint16_t);
  const std::uint16_t* const previous = full_end == nullptr ? nullptr : full_end - kBlock;
  std::memcpy(block, &previous, sizeof previous);
  return block + kHeader;
}

}  // namespace assay
