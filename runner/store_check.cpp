#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "runner/job_run.h"
#include "runner/job_spec.h"
#include "runner/store_folders.h"
#include "runner/store_tools.h"

#include <algorithm>
#include <map>
#include <set>

namespace assay {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// The files that a result names, against their digests.
void check_files(const fs::path& folder, const json& result, std::vector<std::string>& problems) {
  std::map<std::string, std::string> digests;
  if (const std::string digest = result.value("checkpoint_sha256", ""); !digest.empty()) {
    digests["checkpoint.safetensors"] = digest;
  }
  const json files = result.value("files", json::object());
  for (const auto& [name, facts] : files.items()) {
    digests[name] = facts.value("sha256", "");
  }
  for (const auto& [name, digest] : digests) {
    const fs::path file = folder / name;
    if (!fs::is_regular_file(file)) {
      problems.push_back(fmt::format("{}: is missing, its job's result names it", file.string()));
    } else if (sha256_file(file) != digest) {
      problems.push_back(
          fmt::format("{}: its SHA-256 is not that of the job's result", file.string()));
    }
  }
}

void check_job(const Store& store,
               const JobStatus& job,
               const Workspace& workspace,
               std::vector<std::string>& problems) {
  const fs::path file = workspace.result(job.id);
  const auto result = read_result(workspace, job.id);
  const std::string short_id = job.id.substr(0, 12);
  if (job.state != "done") {
    if (result) {
      problems.push_back(fmt::format("job {}: done by {}, '{}' in the store; the next run takes it",
                                     short_id, file.string(), job.state));
    }
    return;
  }
  if (!result) {
    problems.push_back(fmt::format("job {}: done in the store, but {} is missing or not its own",
                                   short_id, file.string()));
    return;
  }
  if (*result != store.result(job.id)) {
    problems.push_back(
        fmt::format("job {}: the store's result is not that of {}; 'assay store rebuild'", short_id,
                    file.string()));
  }
  check_files(workspace.job(job.id), *result, problems);
}

}  // namespace

std::vector<std::string> check_workspace(const Store& store, const Workspace& workspace) {
  std::vector<std::string> problems = store.integrity_problems();
  std::set<std::string> known;
  for (const JobStatus& job : store.jobs()) {
    known.insert(job.id);
    check_job(store, job, workspace, problems);
  }
  for (const JobFolder& folder : job_folders(workspace)) {
    if (!folder.problem.empty()) {
      problems.push_back(folder.problem);
    } else if (!known.contains(folder.id) && folder.spec.is_null()) {
      problems.push_back(fmt::format("{}: says nowhere what job it is", folder.path.string()));
    } else if (!known.contains(folder.id)) {
      problems.push_back(
          fmt::format("{}: a job that the store does not know; 'assay store gc' or "
                      "'assay store rebuild'",
                      folder.path.string()));
    }
  }
  for (const fs::path& path : leftovers(workspace)) {
    problems.push_back(
        fmt::format("{}: left by a writer that was killed; 'assay store gc' removes "
                    "it",
                    path.string()));
  }
  return problems;
}

}  // namespace assay
