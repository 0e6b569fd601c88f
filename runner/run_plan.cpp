#include "runner/run_plan.h"

#include "runner/job_run.h"
#include "runner/process.h"

#include <fmt/format.h>

#include <algorithm>

namespace assay {

namespace {

/// One rank for what wants the machine to itself.
CoordinatorOptions alone(CoordinatorOptions options) {
  std::vector<Slot>& slots = options.scheduler.slots;
  const std::string here = this_process().host;
  const auto local = std::ranges::find_if(
      slots, [&](const Slot& slot) { return slot.host.empty() || slot.host == here; });
  slots = {local == slots.end() ? slots.front() : *local};
  options.scheduler.ranks = 1;
  return options;
}

void add(const RunReport& more, RunReport& report) {
  report.total += more.total;
  report.done_before += more.done_before;
  report.done += more.done;
  report.failed.insert(report.failed.end(), more.failed.begin(), more.failed.end());
  report.cancelled.insert(report.cancelled.end(), more.cancelled.begin(), more.cancelled.end());
  report.interrupted = report.interrupted || more.interrupted;
}

}  // namespace

RunReport run_plan(const Plan& plan,
                   const RealWorldOptions& world_options,
                   const CoordinatorOptions& options,
                   const std::function<JobRun(const Job&)>& describe,
                   Store& store,
                   Interrupts& interrupts,
                   ProgressView& view,
                   const std::function<void(const RunState&)>& on_state) {
  const std::map<std::string, std::string> labels = job_labels(plan);
  const std::map<std::string, double> rates = store.seconds_per_work();
  std::map<std::string, const Job*> by_id;
  std::vector<PlannedJob> jobs, profiles;
  for (const Job& job : plan.jobs) {
    by_id[job.id] = &job;
    (job.kind == JobKind::kProfile ? profiles : jobs)
        .push_back({.schedule = {.id = job.id,
                                 .needs = job.dependencies,
                                 .inputs = inputs_of(job.spec()),
                                 .expected_seconds = expected_seconds(job, rates).value_or(0)},
                    .label = labels.at(job.id),
                    .cost_class = job.cost_class,
                    .work = job.work});
  }
  const auto run = [&](std::vector<PlannedJob> some, const CoordinatorOptions& how) {
    RealWorld world(
        world_options, [&](const std::string& id) { return describe(*by_id.at(id)); }, store,
        interrupts, view, on_state);
    return Coordinator(std::move(some), how, rates, world).run();
  };
  RunReport report = run(std::move(jobs), options);
  if (profiles.empty() || report.interrupted) return report;
  if (world_options.pool) {
    view.line(
        fmt::format("{} profile jobs want the machine to themselves: they are left for 'assay "
                    "run' without mpirun",
                    profiles.size()),
        true);
    return report;
  }
  add(run(std::move(profiles), alone(options)), report);
  return report;
}

}  // namespace assay
