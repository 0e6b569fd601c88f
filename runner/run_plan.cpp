#include "runner/run_plan.h"

#include "runner/job_run.h"

namespace assay {

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
  std::vector<PlannedJob> jobs;
  for (const Job& job : plan.jobs) {
    by_id[job.id] = &job;
    jobs.push_back({.schedule = {.id = job.id,
                                 .needs = job.dependencies,
                                 .inputs = inputs_of(job.spec()),
                                 .expected_seconds = expected_seconds(job, rates).value_or(0)},
                    .label = labels.at(job.id),
                    .cost_class = job.cost_class,
                    .work = job.work});
  }
  RealWorld world(
      world_options, [&](const std::string& id) { return describe(*by_id.at(id)); }, store,
      interrupts, view, on_state);
  return Coordinator(std::move(jobs), options, rates, world).run();
}

}  // namespace assay
