// What coordinator and worker write in a study of two jobs, by the functions that they use, for a
// disk that may fail (`tests/support/failing_disk.cpp`): `disk_fault_scenario WORKSPACE`. Given
// again, it goes on. Exit code 1 and a message where it cannot.

#include "core/error.h"
#include "core/file.h"
#include "results/store.h"
#include "runner/job_run.h"
#include "runner/lease.h"

#include <cstdio>

namespace assay {
namespace {

const std::vector<std::string>& job_ids() {
  static const std::vector<std::string> ids = {std::string(64, 'a'), std::string(64, 'b')};
  return ids;
}

nlohmann::json spec_of(const std::string& id) { return {{"name", id}}; }

std::string checkpoint_of(const std::string& id) { return std::string(100000, id[0]); }

/// As a worker does at the end of a job.
nlohmann::json work(const JobRun& run) {
  write_file_atomically(run.folder() / "checkpoint.safetensors", checkpoint_of(run.id));
  nlohmann::json result = {
      {"id", run.id}, {"attempt", run.attempt}, {"metrics", nlohmann::json::array()}};
  result["files"] = describe_files(run.folder(), {"checkpoint.safetensors"});
  write_file_atomically(run.result(), result.dump(1) + "\n");
  return result;
}

JobResult job_result(const nlohmann::json& result) {
  return {.result = result,
          .metrics = {{.dataset = "d",
                       .category = "mean",
                       .level = "image",
                       .metric = "auroc",
                       .value = 0.5,
                       .undefined_because = "",
                       .num_normal = 1,
                       .num_anomalous = 1,
                       .num_regions = {},
                       .num_categories = 1}}};
}

void run_study(const Workspace& workspace) {
  WorkspaceLease lease(workspace.root, "scenario");
  Store store(workspace.store());
  std::vector<JobRecord> records;
  for (const std::string& id : job_ids()) {
    records.push_back({.id = id,
                       .kind = "train",
                       .spec = spec_of(id).dump(),
                       .dependencies = {},
                       .cost_class = "train",
                       .work = 1});
  }
  store.record_study({"study", "study.toml", "text"}, records, {});
  for (const Attempt& attempt : store.open_attempts()) {
    store.finish_attempt(attempt, {.outcome = "lost", .message = "its coordinator died"});
  }
  for (const std::string& id : job_ids()) {
    if (store.done_jobs().contains(id)) continue;
    const auto found = read_result(workspace, id);
    if (found && result_problem(workspace, *found, true).empty()) {
      make_durable(workspace, id);
      store.adopt_result(id, job_result(*found));
      continue;
    }
    const Attempt attempt = store.begin_attempt({.job = id, .host = "here"}, workspace.job(id));
    JobRun run{.id = id,
               .attempt = attempt.number,
               .kind = JobKind::kTrain,
               .spec = spec_of(id),
               .hints = nlohmann::json::object(),
               .workspace = workspace.root,
               .weights = "",
               .merges = "",
               .data = {}};
    std::filesystem::create_directories(workspace.gangs());
    remove_result(workspace, id);
    static_cast<void>(write_run(run, workspace.gangs() / kRunFiles[0]));
    const JobResult result = job_result(work(run));
    store.finish_attempt(attempt, {.outcome = "done", .seconds = 1}, &result);
    lease.beat();
  }
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    assay::run_study({argv[1]});
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
