#pragma once

#include <cstdint>
#include <vector>

namespace assay {

/// Images that are computed as one batch. What a batch is cut into depends on the batch alone, so
/// that the bits of a shard's sums do not depend on the ranks.
using VirtualShard = std::vector<std::int64_t>;

/// Which images in which step: every epoch is a random order of all images, cut into batches of
/// `batch_size`, the last one smaller where they do not divide.
///
/// The order of epoch e = 1, 2, ... is drawn from the stream (seed, "order/e") alone.
class Sampler {
 public:
  /// Throws std::invalid_argument where a count is below 1.
  Sampler(std::int64_t num_images,
          std::int64_t batch_size,
          std::int64_t images_per_shard,
          std::uint64_t seed);

  [[nodiscard]] std::int64_t steps_per_epoch() const;

  /// Epoch, from 1, of step `step`, which counts from 1 over all epochs.
  [[nodiscard]] std::int64_t epoch(std::int64_t step) const;

  /// The batch of step `step` (from 1) in virtual shards of images_per_shard images, the last one
  /// smaller where they do not divide.
  [[nodiscard]] std::vector<VirtualShard> shards(std::int64_t step);

 private:
  std::int64_t num_images_, batch_size_, images_per_shard_;
  std::uint64_t seed_;
  std::int64_t ordered_epoch_ = 0;  // That of order_; 0: none yet.
  std::vector<std::int64_t> order_;
};

/// Shards `begin`..`end - 1` of a batch.
struct ShardRange {
  std::int64_t begin, end;
  bool operator==(const ShardRange&) const = default;
};

/// The shards of `rank`: contiguous pieces in the order of the ranks, as equal as can be; some are
/// empty where there are more ranks than shards.
[[nodiscard]] ShardRange shards_of_rank(std::int64_t num_shards, int rank, int world_size);

/// The shards of each rank as one, by rank; dealt by shards_of_rank, each rank gets its own images
/// again.
[[nodiscard]] std::vector<VirtualShard> joined_by_rank(const std::vector<VirtualShard>& shards,
                                                       int world_size);

}  // namespace assay
