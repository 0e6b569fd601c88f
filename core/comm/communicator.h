#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace assay {

enum class ReduceOp { kSum, kMax };

/// The ranks of one gang, which run its jobs together.
///
/// Collectives match up by call order: every rank makes the same calls, with the same shapes and
/// dtypes, in the same order. A call returns once the local data holds its result, and throws
/// CommError on failure. Tensors are contiguous and on the CPU. A world of one is a no-op that
/// succeeds.
class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int rank() const = 0;        ///< In [0, world_size()).
  [[nodiscard]] virtual int world_size() const = 0;  ///< At least 1.

  /// Replaces `tensor` on every rank by its element-wise reduction over the ranks. Sums of floating
  /// point depend on the number of ranks: use them for counts and flags; `trainer/shard_sums.h`
  /// adds in shard order.
  virtual void all_reduce(at::Tensor& tensor, ReduceOp op) = 0;

  /// Replaces `bytes` on every rank by those of `root`; equal sizes everywhere.
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;

  /// The bytes of every rank, by rank; sizes may differ and may be 0.
  [[nodiscard]] virtual std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) = 0;

  /// Sends `parts[r]` to rank r and returns what every rank sent to this one, by rank.
  [[nodiscard]] virtual std::vector<std::vector<std::byte>> all_to_all(
      const std::vector<std::vector<std::byte>>& parts) = 0;

  /// Returns once every rank has called it.
  virtual void barrier() = 0;
};

/// A world of one.
class SingleCommunicator final : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int world_size() const override { return 1; }
  void all_reduce(at::Tensor& /*tensor*/, ReduceOp /*op*/) override {}
  void broadcast(std::span<std::byte> /*bytes*/, int /*root*/) override {}
  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) override {
    return {{bytes.begin(), bytes.end()}};
  }
  [[nodiscard]] std::vector<std::vector<std::byte>> all_to_all(
      const std::vector<std::vector<std::byte>>& parts) override {
    return parts;
  }
  void barrier() override {}
};

}  // namespace assay
