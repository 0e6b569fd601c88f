#pragma once

#include "runner/gang_loop.h"

#include <filesystem>
#include <vector>

namespace assay {

struct PoolRank {
  std::filesystem::path folder;  ///< Of the gangs' folders.
  int ranks = 1;                 ///< Of a gang: the ranks of the world in turn.
  /// Of rank 0 of the world: where each gang's coordinator is heard and told, as descriptors.
  std::vector<int> hear, tell;
  bool gpus = false;  ///< Each rank takes a GPU of those that it sees, no two of a host the same.
  /// Takes them: a collective call of the whole world, since its gangs see the same ones.
  std::function<void(Communicator& world)> open_devices;
  std::function<std::unique_ptr<Communicator>(Communicator& host)> job_communicator;  ///< GangRank.
  std::function<nlohmann::json()> facts;
};

/// The life of one rank of a world that was started from outside, `mpirun -np N assay run`
/// (rank_pool.h): its gang's, as `run_gang`. Returns the exit code.
int run_pool(const PoolRank& pool, const RunJob& run_job);

}  // namespace assay
