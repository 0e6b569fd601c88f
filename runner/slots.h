#pragma once

#include "core/file.h"

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// What one rank gets to itself. The list of slots is all that there is to give: a machine with
/// eight GPUs has eight, one with 64 cores and no GPU 64.
struct Slot {
  std::string host = {};  ///< Empty: this machine.
  int core = -1;          ///< A CPU for its gang alone; -1: the kernel chooses.
  std::string device =
      {};  ///< Of `CUDA_VISIBLE_DEVICES`: an index, a UUID, a MIG name; may be empty.
  bool operator==(const Slot&) const = default;
};

/// Slots, each of which belongs to at most one gang.
class SlotPool {
 public:
  explicit SlotPool(std::vector<Slot> slots);

  /// Without those that were abandoned.
  [[nodiscard]] std::size_t size() const;
  /// Gives `count` slots to `gang`: of the host with the fewest free ones that has enough, else of
  /// several hosts; nothing where too few are free.
  [[nodiscard]] std::optional<std::vector<Slot>> take(int gang, std::size_t count);
  void give_back(int gang);
  /// The gang's slots are nobody's for good: something may still run there.
  void abandon(int gang);

 private:
  std::vector<Slot> slots_;
  std::vector<int> owner_;  // By slot; kNobody.
};

/// `count` slots of this machine: each a core of its own where there are as many, else none bound.
[[nodiscard]] std::vector<Slot> local_slots(int count, const std::vector<int>& cores);
/// The CPUs that this process may run on.
[[nodiscard]] std::vector<int> allowed_cores();

/// Cores of this machine that no other coordinator has claimed, for as long as this lives: two runs
/// side by side do not bind their gangs to the same ones.
class CoreClaim {
 public:
  /// Claims `count` of `cores`; none where fewer are free. The kernel ends a claim with its
  /// process.
  CoreClaim(std::size_t count,
            const std::vector<int>& cores,
            const std::filesystem::path& folder = "/dev/shm");

  [[nodiscard]] const std::vector<int>& cores() const { return cores_; }

 private:
  std::vector<int> cores_;
  std::vector<Descriptor> locks_;
};

/// The slots of a hostfile as Open MPI reads it: lines `name [slots=N]`, `#` for comments. The
/// slots of a host are its first N cores. Throws ConfigError with file and line.
[[nodiscard]] std::vector<Slot> read_hostfile(const std::filesystem::path& path);

}  // namespace assay
