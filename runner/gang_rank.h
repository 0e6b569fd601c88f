#pragma once

#include "core/comm/mpi_communicator.h"
#include "runner/gang_loop.h"
#include "runner/launched_rank.h"
#include "runner/rank_start.h"

#include <functional>
#include <optional>

namespace assay {

// What the two ways to become a rank of a gang (gang_loop.h, pool_loop.h) share.

/// Takes jobs of the gang until its coordinator says `end`. Rank 0 of `comm` has the descriptors.
/// Throws CommError where the gang is of another size than asked for, and whatever ends a gang.
void serve_gang(const GangRank& gang,
                Communicator& comm,
                const ControlDescriptors& descriptors,
                const RunJob& run_job);

/// Runs `body` and returns 0; what it throws is said in the log and ends every rank of `mpi`.
int guard_gang(const LaunchedRank& launched,
               const std::optional<MpiSession>& mpi,
               const std::function<void()>& body);

}  // namespace assay
