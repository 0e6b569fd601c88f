#pragma once

#include "core/comm/communicator.h"

#include <functional>

namespace assay {

/// Runs `rank_main` on `world_size` threads of this process, each with its Communicator, and
/// returns when all have ended.
///
/// The semantics are those of the MPI communicator. Where a rank throws, the others get a CommError
/// out of the collective that they wait in (after `timeout_seconds` also without a reason); the
/// first exception that is no such consequence is then thrown here.
void run_on_threads(int world_size,
                    const std::function<void(Communicator&)>& rank_main,
                    double timeout_seconds = 60);

}  // namespace assay
