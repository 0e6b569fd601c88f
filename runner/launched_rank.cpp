#include "runner/launched_rank.h"

#include <cstdlib>
#include <utility>

namespace assay {
namespace {

int number_from(const char* name, int fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::atoi(text);
}

}  // namespace

LaunchedRank launched_rank() {
  // Open MPI, then PMI (MPICH, Intel MPI) and Slurm.
  for (const auto& [rank, size] :
       {std::pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        std::pair("PMI_RANK", "PMI_SIZE"), std::pair("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")}) {
    if (std::getenv(rank) == nullptr) continue;
    return {number_from(rank, 0), number_from(size, 1),
            number_from("OMPI_COMM_WORLD_LOCAL_SIZE", 0)};
  }
  return {};
}

}  // namespace assay
