#include "evaluator/normal_bins.h"

#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <new>
#include <utility>

namespace assay {
namespace {

constexpr std::size_t kChunk = 1024;  // Pixels whose keys are made at once, by vector instructions.

int bin_shift(std::uint32_t lowest_key, std::uint32_t highest_key) {
  constexpr int kLogBins = 12;  // Measured: the bins' lines stay in the second-level cache.
  constexpr int kLowerBits = 16;
  const int bits = static_cast<int>(std::bit_width(highest_key - lowest_key));
  return std::clamp(bits - kLogBins, 0, kLowerBits);
}

}  // namespace

KeyBins::KeyBins(std::uint32_t lowest, std::uint32_t highest)
    : lowest_key(lowest),
      highest_key(highest),
      shift(bin_shift(lowest, highest)),
      num_bins((std::size_t{highest - lowest} >> shift) + 1) {}

NormalBins::NormalBins(const KeyBins& bins, std::vector<bool> is_wanted)
    : bins_(bins),
      is_wanted_(std::move(is_wanted)),
      next_(bins.num_bins + 1),
      num_lines_(bins.num_bins + 1),
      last_block_(bins.num_bins + 1),
      lines_(allocate(kLine * sizeof(std::uint16_t), (bins.num_bins + 1) * kLine)) {
  is_wanted_.push_back(false);  // Pixels outside of the bins.
}

NormalBins::Memory NormalBins::allocate(std::size_t alignment, std::size_t count) {
  Memory memory(
      static_cast<std::uint16_t*>(std::aligned_alloc(alignment, count * sizeof(std::uint16_t))));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// Slabs of categories that are done, for the next: the kernel clears the pages of new ones, which
// took a quarter of the time. At most 128 MB stay, enough for 67 million pixels.
class NormalBins::SpareSlabs {
 public:
  static SpareSlabs& of_process() {
    static SpareSlabs spare;
    return spare;
  }

  Memory take() {
    {
      const std::lock_guard lock(mutex_);
      if (!slabs_.empty()) {
        Memory slab = std::move(slabs_.back());
        slabs_.pop_back();
        return slab;
      }
    }
    constexpr std::size_t kSlab = kBlocksPerSlab * kBlock;
    Memory slab = allocate(kSlab * sizeof(std::uint16_t), kSlab);
    // Blocks of thousands of bins are written in turn: with small pages each costs a table walk.
    // Only a hint.
    (void)madvise(slab.get(), kSlab * sizeof(std::uint16_t), MADV_HUGEPAGE);
    return slab;
  }

  void keep(std::vector<Memory> slabs) {
    constexpr std::size_t kMost = 64;
    const std::lock_guard lock(mutex_);
    while (!slabs.empty() && slabs_.size() < kMost) {
      slabs_.push_back(std::move(slabs.back()));
      slabs.pop_back();
    }
  }

 private:
  std::mutex mutex_;
  std::vector<Memory> slabs_;
};

NormalBins::~NormalBins() { SpareSlabs::of_process().keep(std::move(slabs_)); }

void NormalBins::add(std::span<const float> scores) {
  std::array<std::uint32_t, kChunk> bins;
  std::array<std::uint16_t, kChunk> lower_bits;
  const std::uint32_t lowest_key = bins_.lowest_key, highest_key = bins_.highest_key;
  const std::uint32_t range = highest_key - lowest_key;
  const auto outside = static_cast<std::uint32_t>(bins_.num_bins);
  const int shift = bins_.shift;
  const std::uint32_t lower_mask = (1U << shift) - 1;
  for (std::size_t begin = 0; begin < scores.size(); begin += kChunk) {
    const std::size_t size = std::min(kChunk, scores.size() - begin);
    const float* const chunk = scores.data() + begin;
    std::uint32_t num_above = 0, lowest = range_.lowest, highest = range_.highest;
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint32_t key = score_key(chunk[i]);
      lowest = std::min(lowest, key);
      highest = std::max(highest, key);
      num_above += key > highest_key ? 1 : 0;
      const std::uint32_t offset = key - lowest_key;
      bins[i] = offset > range ? outside : offset >> shift;
      lower_bits[i] = static_cast<std::uint16_t>(offset & lower_mask);
    }
    range_ = {lowest, highest};
    num_above_ += num_above;
    std::uint16_t* const next = next_.data();
    std::uint16_t* const lines = lines_.get();
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint32_t bin = bins[i];
      const std::size_t entry = next[bin]++ % kLine;
      lines[bin * kLine + entry] = lower_bits[i];
      if (entry == kLine - 1) move_line(bin);
    }
  }
}

void NormalBins::publish() { _mm_sfence(); }

void NormalBins::move_line(std::uint32_t bin) {
  constexpr std::uint32_t kLinesPerBlock = kBlock / kLine;
  const std::uint32_t line = num_lines_[bin]++ % kLinesPerBlock;
  if (!is_wanted_[bin]) return;
  if (line == 0) {
    const auto block = static_cast<std::uint32_t>(previous_block_.size());
    if (block % kBlocksPerSlab == 0) {
      slabs_.push_back(SpareSlabs::of_process().take());
    }
    previous_block_.push_back(last_block_[bin]);
    last_block_[bin] = block;
  }
  // Past the caches: the line is not read again before all pixels are in their bins.
  const auto* from = reinterpret_cast<const __m256i*>(lines_.get() + bin * kLine);
  auto* to = reinterpret_cast<__m256i*>(block_begin(last_block_[bin]) + line * kLine);
  _mm256_stream_si256(to, _mm256_load_si256(from));
  _mm256_stream_si256(to + 1, _mm256_load_si256(from + 1));
}

}  // namespace assay
