#pragma once

#include "results/store.h"
#include "runner/interrupts.h"
#include "runner/job_run.h"
#include "runner/plan.h"
#include "runner/progress.h"
#include "runner/scheduler.h"
#include "runner/workspace.h"

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace assay {

struct CoordinatorOptions {
  Workspace workspace;
  std::filesystem::path worker;  ///< The program `assay-worker`.
  int ranks = 1;                 ///< Of each gang.
  SchedulerOptions scheduler;
  double start_timeout_seconds = 120;  ///< For a gang to say that it is ready.
};

struct FailedJob {
  std::string id, label, error;
};

struct RunReport {
  std::size_t total = 0, done_before = 0, done = 0;
  std::vector<FailedJob> failed;
  bool interrupted = false;
};

/// Marks as done in the store those of `jobs` whose result was written and not recorded: their
/// coordinator died in between. Returns the ids of all that are done.
std::set<std::string> adopt_results(const std::vector<Job>& jobs,
                                    const Workspace& workspace,
                                    Store& store);

/// Ends what a coordinator that was killed has left: live ranks, attempts without an end. The
/// caller holds the workspace's lease.
void end_remains(const Workspace& workspace, Store& store);

/// Runs what of `plan` is not done, on gangs, and records it in `store`, of which the caller is the
/// only writer. `describe` says where a job finds its files.
///
/// One signal stops feeding and lets running jobs keep their state; a second one ends all at once.
/// `on_state` is called at least every second. Throws StoreError where the store cannot be written;
/// every gang is ended on every way out.
[[nodiscard]] RunReport run_plan(const Plan& plan,
                                 const CoordinatorOptions& options,
                                 const std::function<JobRun(const Job&)>& describe,
                                 Store& store,
                                 Interrupts& interrupts,
                                 ProgressView& view,
                                 const std::function<void(const RunState&)>& on_state);

}  // namespace assay
