#include "runner/run_plan.h"

#include "runner/job_run.h"
#include "runner/process.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace assay {
namespace {

using JobsById = std::unordered_map<std::string_view, const Job*>;

JobsById jobs_by_id(const Plan& plan) {
  JobsById jobs;
  jobs.reserve(plan.jobs.size());
  for (const Job& job : plan.jobs) jobs.emplace(job.id, &job);
  return jobs;
}

/// What a gang keeps loaded from one job to the next: features, and a backbone, which is that of
/// an encoding's cost class.
std::vector<std::string> inputs_of(const Job& job, const JobsById& jobs) {
  if (job.kind == JobKind::kEncode) return {job.cost_class};
  std::vector<std::string> inputs;
  for (const std::string& id : job.dependencies) {
    const Job& needed = *jobs.at(id);
    if (needed.kind != JobKind::kEncode) continue;
    if (inputs.empty()) inputs.push_back(needed.cost_class);
    inputs.push_back(id);
  }
  return inputs;
}

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
  const JobsById by_id = jobs_by_id(plan);
  std::vector<PlannedJob> jobs, profiles;
  jobs.reserve(plan.jobs.size());
  for (const Job& job : plan.jobs) {
    (job.kind == JobKind::kProfile ? profiles : jobs)
        .push_back(
            {.schedule = {.id = job.id, .needs = job.dependencies, .inputs = inputs_of(job, by_id)},
             .cost_class = job.cost_class,
             .work = job.work});
  }
  std::map<std::string, std::string> labels;
  const auto label = [&](const std::string& id) {  // Where nothing runs nobody asks.
    if (labels.empty()) labels = job_labels(plan);
    return labels.at(id);
  };
  const auto run = [&](std::vector<PlannedJob> some, const CoordinatorOptions& how) {
    RealWorld world(
        world_options, [&](const std::string& id) { return describe(*by_id.at(id)); }, store,
        interrupts, view, on_state);
    RunReport report = Coordinator(std::move(some), label, how, world).run();
    world.save();
    return report;
  };
  RunReport report = run(std::move(jobs), options);
  if (profiles.empty() || report.interrupted) return report;
  if (world_options.pool) {
    const auto done = store.done_jobs();
    const auto left = std::ranges::count_if(
        profiles, [&](const PlannedJob& job) { return !done.contains(job.schedule.id); });
    if (left == 0) return report;
    view.line(fmt::format("profile jobs want the machine to themselves: {} left for 'assay run' "
                          "without mpirun",
                          left),
              true);
    return report;
  }
  add(run(std::move(profiles), alone(options)), report);
  return report;
}

}  // namespace assay
