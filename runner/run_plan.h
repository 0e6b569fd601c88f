#pragma once

#include "runner/coordinator.h"
#include "runner/plan.h"
#include "runner/real_world.h"

#include <functional>

namespace assay {

/// Runs what of `plan` is not done, on gangs, and records it in `store`, of which the caller is the
/// only writer: it holds the workspace's lease. `describe` says where a job finds its files.
///
/// Profile jobs come last, when all gangs have ended: one after another on one rank, the first slot
/// of this host, so that nothing of ours runs beside what is measured. Ranks that an outer mpirun
/// has started end with the other jobs; there profile jobs are left for a run without it.
///
/// One signal stops feeding and lets running jobs keep their state; a second one ends all at once.
/// `on_state` is called at least every second. Throws StoreError where the store cannot be written;
/// every gang is ended on every way out.
[[nodiscard]] RunReport run_plan(const Plan& plan,
                                 const RealWorldOptions& world,
                                 const CoordinatorOptions& options,
                                 const std::function<JobRun(const Job&)>& describe,
                                 Store& store,
                                 Interrupts& interrupts,
                                 ProgressView& view,
                                 const std::function<void(const RunState&)>& on_state);

}  // namespace assay
