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
  std::function<nlohmann::json()> facts;
};

/// The life of one rank of a world that was started from outside, `mpirun -np N assay run`
/// (rank_pool.h): its gang's, as `run_gang`. Returns the exit code.
int run_pool(const PoolRank& pool, const RunJob& run_job);

}  // namespace assay
