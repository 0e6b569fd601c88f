#pragma once

#include "core/file.h"

#include <sys/types.h>

#include <filesystem>
#include <vector>

namespace assay {

/// The coordinator's ends of a gang's control channel.
struct GangChannel {
  Descriptor input, events;
};

/// Ranks that are there already: how many in all, and in a gang; whether each takes a GPU.
struct PoolShape {
  int world_size = 1, ranks = 1;
  bool gpus = false;
};

/// Ranks that are there already: `mpirun -np N assay run`, where the user or the site has started
/// all processes (`design.md` 3).
///
/// All but the first have become workers. The first is the coordinator, and its part as a rank is
/// played by a child, which has the world's rank 0 for MPI and hands on to the leaders of the other
/// gangs what goes through their channels.
class RankPool {
 public:
  /// Starts the child. `gangs`: the folder of the gangs' folders. Throws ConfigError where `ranks`
  /// does not divide `world_size`, CommError where the child does not start.
  RankPool(const std::filesystem::path& worker,
           const std::filesystem::path& gangs,
           const PoolShape& shape);
  /// Lets gangs that nobody took end, and waits for the child, which waits for all ranks; not for
  /// ever: a child that is killed ends the world.
  ~RankPool();
  RankPool(const RankPool&) = delete;
  RankPool& operator=(const RankPool&) = delete;

  /// The channel of a gang, once. Throws CommError a second time: a dead rank is not started again,
  /// it ends the world.
  [[nodiscard]] GangChannel take(int gang);

 private:
  std::vector<GangChannel> channels_;  // Of a gang that was taken: closed.
  pid_t child_ = -1;
};

/// What ranks other than the first become. Does not return. Throws ConfigError where the worker is
/// missing or `ranks` does not divide `world_size`.
[[noreturn]] void become_pool_rank(const std::filesystem::path& worker,
                                   const std::filesystem::path& gangs,
                                   const PoolShape& shape);

}  // namespace assay
