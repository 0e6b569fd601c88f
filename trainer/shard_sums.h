#pragma once

#include "core/comm/communicator.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// The sums over the images of each virtual shard, on every rank.
struct ShardSums {
  std::vector<double> by_shard;  ///< [num_shards, num_terms], in shard order.
  bool stop = false;             ///< Some rank wishes to stop.
};

/// Gathers the sums of the local shards (float64 [num_terms] each, those of shards_of_rank, in
/// order) of every rank. A collective call; throws JobError on every rank alike where one brings a
/// `failure` instead.
[[nodiscard]] ShardSums gather_shard_sums(Communicator& comm,
                                          const std::vector<at::Tensor>& local,
                                          bool wishes_to_stop,
                                          const std::string& failure);

/// Adds the rows of `sums` in shard order: [num_terms].
[[nodiscard]] std::vector<double> add_in_shard_order(const ShardSums& sums, std::size_t num_terms);

/// The sum of the gradients of all shards, in shard order: the same bits on any number of ranks.
///
/// A gradient is one float32 row over all leaves. Each rank owns a slice of it: it receives this
/// slice of every shard, adds in double, and gives the rounded sum to all. So a rank sends and
/// receives one gradient a shard and one more, not all shards' gradients. The first rank's shards
/// come first in the order: it adds its own as they come and sends their sum, in double.
class GradientSum {
 public:
  /// `size`: floats of a gradient, the same on every rank.
  GradientSum(Communicator& comm, std::int64_t size);

  /// Adds the gradient of the next local shard, number `shard` of the batch: one tensor a leaf,
  /// undefined ones are zeros of `leaves`' sizes.
  void add(std::int64_t shard,
           const std::vector<at::Tensor>& gradient,
           const std::vector<at::Tensor>& leaves);

  struct Result {
    at::Tensor sum;                         ///< float32 [size].
    std::optional<std::int64_t> bad_shard;  ///< The first one with NaN or infinity; then no sum.
  };
  /// A collective call; throws JobError on every rank alike where one brings a `failure`.
  [[nodiscard]] Result reduce(const std::string& failure);

 private:
  [[nodiscard]] std::vector<std::byte> part_for(int rank, const std::string& failure) const;

  Communicator& comm_;
  std::int64_t size_;
  std::int64_t bad_shard_ = -1;
  std::vector<double> first_;             // Rank 0: the sum of its shards.
  std::vector<std::vector<float>> rows_;  // Other ranks: the gradient of each local shard.
};

/// The sum of the ranks' gradients, float32 [size] each and added in place by
/// Communicator::all_reduce: on any device, in no order that is promised. `shard` is the rank's
/// only one; a rank without images brings zeros and -1, one with a `failure` whatever it has. A
/// collective call; throws JobError on every rank alike where one brings a `failure`.
[[nodiscard]] GradientSum::Result all_reduce_gradient(Communicator& comm,
                                                      at::Tensor gradient,
                                                      std::int64_t shard,
                                                      const std::string& failure);

/// Whether no value is NaN or infinite.
[[nodiscard]] bool all_finite(std::span<const float> values);
/// The same of a tensor on any device.
[[nodiscard]] bool all_finite(const at::Tensor& values);

}  // namespace assay
