// `assay bench-runner`, hidden: what the runner itself costs, with jobs that do nothing but leave a
// durable result (tools/bench_runner.sh).

#include "core/digest.h"
#include "core/error.h"
#include "runner/commands.h"
#include "runner/installation.h"
#include "runner/interrupts.h"
#include "runner/lease.h"
#include "runner/run_plan.h"

#include <chrono>
#include <memory>

namespace assay {
namespace {

struct BenchArguments {
  Places places;
  int jobs = 1000, slots = 2;
  bool bare = false;
};

Plan noop_plan(int jobs) {
  Plan plan;
  const nlohmann::json form = {{"noop", SpecTemplate::hole()}};
  const SpecTemplate spec(form);
  const nlohmann::json hints = {{"noop", true}};
  for (int i = 0; i < jobs; ++i) {
    Job job{.spec_text = spec.fill({std::to_string(i)}),
            .shared_hints = hints,
            .cost_class = "noop",
            .work = 1};
    job.id = sha256(job.spec_text.text());
    plan.jobs.push_back(std::move(job));
  }
  return plan;
}

/// The least that keeps a result: write, fsync, rename, fsync of the folder.
void bare_loop(const Workspace& workspace, const Plan& plan) {
  for (const Job& job : plan.jobs) {
    write_file_atomically(workspace.root / "bare" / (job.id + ".json"), job.spec_text.text());
  }
}

RunReport run_noops(const BenchArguments& arguments, const Plan& plan) {
  const Workspace workspace = arguments.places.paths();
  WorkspaceLease lease(workspace.root, "assay bench-runner");
  const auto results = list_results(workspace);
  Store store(workspace.store());
  store.record_study({"noop", "", ""}, job_records(plan), {});
  Interrupts interrupts;
  ProgressView view(stderr, /*quiet=*/true);
  SchedulerOptions scheduler;
  scheduler.slots = local_slots(arguments.slots, {});
  const auto describe = [&](const Job& job) {
    return JobRun{.id = job.id,
                  .kind = job.kind,
                  .spec = job.spec(),
                  .hints = job.hints(),
                  .workspace = workspace.root,
                  .weights = {},
                  .merges = {},
                  .data = {}};
  };
  return run_plan(plan,
                  {.workspace = workspace,
                   .worker = find_worker(),
                   .launcher = {},
                   .pool = {},
                   .results = results},
                  {.scheduler = scheduler}, describe, store, interrupts, view,
                  [&](const RunState&) { lease.beat(); });
}

int bench(const BenchArguments& arguments) {
  const Plan plan = noop_plan(arguments.jobs);
  const auto start = std::chrono::steady_clock::now();
  std::size_t done = plan.jobs.size();
  if (arguments.bare) {
    bare_loop(arguments.places.paths(), plan);
  } else {
    done = run_noops(arguments, plan).done;
  }
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
  fmt::print("{} jobs, {} run, {:.0f} ms, {:.3f} ms a job\n", plan.jobs.size(), done, spent.count(),
             spent.count() / arguments.jobs);
  return 0;
}

}  // namespace

std::vector<Command> add_bench_command(CLI::App& app) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* command = app.add_subcommand("bench-runner", "what a job costs that does nothing");
  command->group("");  // Hidden.
  add_workspace(*command, arguments->places);
  command->add_option("--jobs", arguments->jobs)->check(at_least(1));
  command->add_option("--slots", arguments->slots)->check(at_least(1));
  command->add_flag("--bare", arguments->bare, "only the files, without a runner");
  return {{command, [arguments] { return bench(*arguments); }}};
}

}  // namespace assay
