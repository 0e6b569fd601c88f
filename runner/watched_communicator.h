#pragma once

#include "core/comm/communicator.h"
#include "runner/beat.h"

#include <utility>

namespace assay {

/// A communicator that says in a beat file which call it is in.
class WatchedCommunicator final : public Communicator {
 public:
  /// Both must outlive this.
  WatchedCommunicator(Communicator& comm, Beat& beat) : comm_(comm), beat_(beat) {}

  [[nodiscard]] int rank() const override { return comm_.rank(); }
  [[nodiscard]] int world_size() const override { return comm_.world_size(); }
  void all_reduce(at::Tensor& tensor, ReduceOp op) override {
    watched("all_reduce", [&] { comm_.all_reduce(tensor, op); });
  }
  void broadcast(std::span<std::byte> bytes, int root) override {
    watched("broadcast", [&] { comm_.broadcast(bytes, root); });
  }
  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) override {
    std::vector<std::vector<std::byte>> gathered;
    watched("all_gather", [&] { gathered = comm_.all_gather(bytes); });
    return gathered;
  }
  [[nodiscard]] std::vector<std::vector<std::byte>> all_to_all(
      const std::vector<std::vector<std::byte>>& parts) override {
    std::vector<std::vector<std::byte>> received;
    watched("all_to_all", [&] { received = comm_.all_to_all(parts); });
    return received;
  }
  void barrier() override {
    watched("barrier", [&] { comm_.barrier(); });
  }

 private:
  template <typename Call>
  void watched(std::string_view operation, const Call& call) {
    beat_.enter(operation);
    call();
    beat_.leave();
  }

  Communicator& comm_;
  Beat& beat_;
};

}  // namespace assay
