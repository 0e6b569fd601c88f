#pragma once

#include "runner/coordinator.h"
#include "runner/plan.h"
#include "runner/real_world.h"

#include <functional>

namespace assay {

/// Runs what of `plan` is not done, on gangs, and records it in `store`, of which the caller is the
/// only writer: it holds the workspace's lease. `describe` says where a job finds its files.
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
