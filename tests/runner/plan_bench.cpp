// How long `assay plan` takes over many jobs, `status` and `table` over a store of many: whole
// processes, warm, best of several. Prints a line each; a target, not a test.
//
//   plan_bench [--jobs N] [--finished N]
//
// Data sets are drawn small, so that what is measured is planning.

#include "core/file.h"
#include "datasets/synth.h"
#include "results/store.h"
#include "runner/plan.h"
#include "runner/workspace.h"
#include "tests/support/temporary_folder.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace assay {
namespace {

constexpr int kRepeats = 5;

struct Cost {
  double seconds = 1e9;
  double processor_seconds = 1e9;  // What a loaded machine changes less.
  double megabytes = 0;            // Resident, at most.
};

/// From the start of the process to its exit.
Cost run_once(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::fflush(nullptr);  // Else the child prints it once more.
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) ::_exit(127);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (status != 0) {
    fmt::print(stderr, "{} failed\n", words[1]);
    std::exit(1);
  }
  const auto processor = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return {seconds.count(), processor(usage.ru_utime) + processor(usage.ru_stime),
          static_cast<double>(usage.ru_maxrss) / 1024};
}

void report(const std::string& what, const std::vector<std::string>& words) {
  Cost best;
  for (int i = 0; i <= kRepeats; ++i) {  // The first one warms up.
    const Cost cost = run_once(words);
    best.seconds = std::min(best.seconds, cost.seconds);
    best.processor_seconds = std::min(best.processor_seconds, cost.processor_seconds);
    best.megabytes = std::max(best.megabytes, cost.megabytes);
  }
  fmt::print("{:<40} {:>8.3f} s {:>8.3f} s of a processor {:>6.0f} MB\n", what, best.seconds,
             best.processor_seconds, best.megabytes);
}

/// About `jobs` jobs: one training and one evaluation on each of four sets a variant and seed.
std::string study_text(std::int64_t jobs) {
  const std::int64_t trainings = std::max<std::int64_t>(jobs / 5, 1);
  const std::int64_t seeds = std::min<std::int64_t>(trainings, 50);
  std::string text =
      "schema = 1\nname = 'bench'\nbackbone = 'assay-tiny'\nimage_size = 64\n"
      "train_on = { default = 'synth-a', synth-a = 'synth-b' }\n"
      "targets = ['synth-b', 'set-1', 'set-2', 'set-3']\nseeds = [";
  for (std::int64_t seed = 0; seed < seeds; ++seed) text += fmt::format("{}, ", seed);
  text += "]\n[[sweep]]\nmethod = 'anomalyclip'\ngrid = { lr = [";
  for (std::int64_t i = 0; i < trainings / seeds; ++i)
    text += fmt::format("{:.5f}, ", 1e-4 * static_cast<double>(i + 1));
  return text + "] }\n";
}

/// A store in which all of a study is done, without the folders.
void finish_all(const Study& study, const Workspace& workspace) {
  PlanFiles files(study, workspace.root, ASSAY_SOURCE_DIR);
  const Plan plan = make_plan(study, files);
  Store store(workspace.store());
  store.record_study({study.name, "bench.toml", study.text}, job_records(plan), plan.cells);
  std::map<std::string, std::string> datasets;
  for (const StudyCell& cell : plan.cells) datasets[cell.job] = cell.dataset;
  std::vector<std::pair<std::string, JobResult>> results;
  for (const Job& job : plan.jobs) {
    JobResult result{.result = {{"id", job.id}}, .metrics = {}};
    if (job.kind == JobKind::kEvaluate) {
      for (const auto& [level, metric] :
           {std::pair("image", "auroc"), std::pair("image", "ap"), std::pair("image", "f1max"),
            std::pair("pixel", "auroc"), std::pair("pixel", "aupro")}) {
        for (const char* category : {"a", "b", "c", "mean"}) {
          result.metrics.push_back({.dataset = datasets.at(job.id),
                                    .category = category,
                                    .level = level,
                                    .metric = metric,
                                    .value = 0.75,
                                    .undefined_because = {},
                                    .num_normal = 10,
                                    .num_anomalous = 10,
                                    .num_regions = 12,
                                    .num_categories = {}});
        }
      }
    }
    results.emplace_back(job.id, std::move(result));
  }
  store.adopt_results(results);
  fmt::print("{} jobs done in a store\n", plan.jobs.size());
}

std::int64_t option(int argc, char** argv, const char* name, std::int64_t value) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], name) == 0) return std::atoll(argv[i + 1]);
  }
  return value;
}

void bench(std::int64_t jobs, std::int64_t finished) {
  const TemporaryFolder folder;
  const SynthOptions options{
      .image_size = 64, .train_normal = 1, .test_normal = 1, .test_anomalous = 1, .seed = 3};
  for (const std::string& name : synth_names()) write_synth(name, folder / "data" / name, options);
  for (const char* copy : {"set-1", "set-2", "set-3"}) {
    std::filesystem::copy(folder / "data/synth-b", folder / "data" / copy,
                          std::filesystem::copy_options::recursive);
  }
  const std::string assay = std::string(ASSAY_BINARY_DIR) + "/assay";
  const std::string data = folder / "data";
  const auto write = [&](const char* name, std::int64_t count) {
    write_file_atomically(folder / name, "data = 'data'\n" + study_text(count));
    return std::string(folder / name);
  };
  const std::string large = write("large.toml", jobs), small = write("small.toml", finished);
  const Workspace workspace{folder / "w"};
  finish_all(load_study(small), workspace);
  const std::string w = workspace.root.string();
  report(fmt::format("plan, {} jobs", jobs), {assay, "plan", large, "-w", w});
  report(fmt::format("plan, {} jobs, all done", finished), {assay, "plan", small, "-w", w});
  report(fmt::format("status, {} jobs", finished), {assay, "status", "-w", w});
  report(fmt::format("table, {} jobs", finished), {assay, "table", small, "-w", w});
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  assay::bench(assay::option(argc, argv, "--jobs", 100'000),
               assay::option(argc, argv, "--finished", 10'000));
  return 0;
}
