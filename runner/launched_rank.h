#pragma once

namespace assay {

/// This process among those that were started together, before MPI is asked: from the environment
/// that the launcher sets; a process without one is a world of its own.
struct LaunchedRank {
  int rank = 0;
  int world_size = 1;
  int local_size = 1;  ///< Of them on this host, as far as the launcher says.
};
[[nodiscard]] LaunchedRank launched_rank();

}  // namespace assay
