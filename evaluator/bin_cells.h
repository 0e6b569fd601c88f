#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace assay {

/// One bin of keys spread out: a cell for each key.
class BinCells {
 public:
  explicit BinCells(int shift)
      : normal_((std::size_t{1} << shift) + 1),
        anomalous_(std::size_t{1} << shift),
        occupied_((anomalous_.size() + 63) / 64) {}

  void add_normals(std::span<const std::uint16_t> cells) {
    std::uint32_t* const normal = normal_.data();
    for (const std::uint16_t cell : cells) ++normal[cell];
  }

  void add_anomalous(std::size_t cell, std::uint64_t weight) {
    anomalous_[cell].weight += weight;
    ++anomalous_[cell].count;
    occupied_[cell / 64] |= std::uint64_t{1} << cell % 64;
  }

  /// Calls `on_group(cell, count, weight, normals_above, normals_at)` for each cell with anomalous
  /// pixels, highest first, and empties all cells. `normals_above`: of the bin, above the cell.
  template <typename OnGroup>
  void drain(OnGroup on_group) {
    sum_from_above();
    for (std::size_t word = occupied_.size(); word-- > 0;) {
      for (std::uint64_t bits = occupied_[word]; bits != 0;) {
        const std::size_t bit = 63 - static_cast<std::size_t>(std::countl_zero(bits));
        bits ^= std::uint64_t{1} << bit;
        const std::size_t cell = word * 64 + bit;
        Anomalous& anomalous = anomalous_[cell];
        on_group(cell, anomalous.count, anomalous.weight, normal_[cell + 1],
                 normal_[cell] - normal_[cell + 1]);
        anomalous = {};
      }
      occupied_[word] = 0;
    }
    std::fill(normal_.begin(), normal_.end(), 0);
  }

 private:
  struct Anomalous {
    std::uint64_t weight = 0;
    std::uint32_t count = 0;
  };

  // normal_[i] becomes the sum from i on.
  void sum_from_above() {
    std::uint32_t sum = 0;
    for (std::size_t i = normal_.size(); i-- > 0;) normal_[i] = sum += normal_[i];
  }

  std::vector<std::uint32_t> normal_;  // One more, empty, above the highest cell.
  std::vector<Anomalous> anomalous_;
  std::vector<std::uint64_t> occupied_;  // A bit for each cell with anomalous pixels.
};

}  // namespace assay
