#include "core/error.h"
#include "core/file.h"
#include "core/utc_time.h"
#include "runner/attempt_file.h"
#include "runner/job_run.h"
#include "runner/store_folders.h"
#include "runner/store_tools.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <unordered_map>

namespace assay {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// Attempts of a job by their folders, in the order of their numbers.
std::vector<fs::path> attempt_folders(const fs::path& job) {
  std::map<std::int64_t, fs::path> folders;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(job, missing)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("attempt-")) continue;
    folders[std::strtoll(name.c_str() + 8, nullptr, 10)] = entry.path();
  }
  std::vector<fs::path> paths;
  for (const auto& [number, path] : folders) paths.push_back(path);
  return paths;
}

/// What the plan said of a job, from its result or, of an older build, the last attempt's run.json;
/// else what follows from the spec.
JobRecord record_of(const JobFolder& folder, const Workspace& workspace) {
  JobRecord record{.id = folder.id,
                   .kind = folder.spec.at("kind"),
                   .spec = folder.spec.dump(),
                   .dependencies = needs_of(folder.spec),
                   .cost_class = cost_class_of(folder.spec),
                   .work = 0};
  std::vector<json> plans;
  for (const fs::path& attempt : attempt_folders(folder.path)) {
    const fs::path file = attempt / "run.json";
    if (!fs::is_regular_file(file)) continue;
    const json run = json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
    if (run.is_object()) plans.push_back(run.value("hints", json::object()));
  }
  if (auto result = read_result(workspace, folder.id)) plans.push_back(std::move(*result));
  for (const json& said : plans) {
    const json plan = said.value("plan", json::object());
    record.dependencies = plan.value("dependencies", record.dependencies);
    record.cost_class = plan.value("cost_class", record.cost_class);
    record.work = plan.value("work", record.work);
  }
  return record;
}

/// Jobs after what they need; what they need and nobody has made is left out.
std::vector<JobRecord> in_order(std::map<std::string, JobRecord> records) {
  std::vector<JobRecord> ordered;
  std::vector<std::string> open;
  for (const auto& [id, record] : records) open.push_back(id);
  std::ranges::reverse(open);
  while (!open.empty()) {
    const auto found = records.find(open.back());
    if (found == records.end()) {
      open.pop_back();
      continue;
    }
    bool ready = true;
    std::erase_if(found->second.dependencies, [&](const std::string& id) {
      return !records.contains(id) && std::ranges::count(ordered, id, &JobRecord::id) == 0;
    });
    for (const std::string& needed : found->second.dependencies) {
      if (!records.contains(needed)) continue;
      open.push_back(needed);
      ready = false;
    }
    if (!ready) continue;
    ordered.push_back(std::move(found->second));
    records.erase(found);
    open.pop_back();
  }
  return ordered;
}

/// When a result was written of which no attempt tells: made by hand, or by an older build.
std::string written_at(const fs::path& file) {
  return utc_text(std::chrono::time_point_cast<std::chrono::system_clock::duration>(
      std::chrono::file_clock::to_sys(fs::last_write_time(file))));
}

/// In the order of their numbers.
std::map<std::int64_t, Attempt> attempts_of(const JobFolder& folder, const Attempts& ended) {
  std::map<std::int64_t, Attempt> attempts;
  if (const auto known = ended.find(folder.id); known != ended.end()) attempts = known->second;
  for (const fs::path& path : attempt_folders(folder.path)) {
    if (auto attempt = read_attempt_file(path)) attempts.emplace(attempt->number, *attempt);
  }
  return attempts;
}

void adopt(const JobFolder& folder,
           const Attempts& ended,
           const Workspace& workspace,
           Store& store,
           Rebuilt& rebuilt) {
  std::string done_at;
  for (const auto& [number, attempt] : attempts_of(folder, ended)) {
    store.add_attempt(attempt);
    ++rebuilt.attempts;
    if (attempt.outcome == "done") done_at = attempt.ended_at;
  }
  const fs::path file = result_file(workspace, folder.id);
  if (file.empty()) return;
  const auto result = read_result(workspace, folder.id);
  if (!result) {
    rebuilt.problems.push_back(fmt::format("{}: is damaged or another job's", file.string()));
    return;
  }
  const JobResult recorded = JobResult::of(*result);
  store.adopt_result(folder.id, recorded, done_at.empty() ? written_at(file) : done_at);
  ++rebuilt.done;
  rebuilt.metrics += static_cast<std::int64_t>(recorded.metrics.size());
}

/// `store.db.before-rebuild`, or the first free name after it.
fs::path free_name(const fs::path& store) {
  fs::path name = store.string() + ".before-rebuild";
  for (int i = 2; fs::exists(name); ++i)
    name = fmt::format("{}.before-rebuild-{}", store.string(), i);
  return name;
}

void move_with_log(const fs::path& from, const fs::path& to) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const fs::path file = from.string() + suffix;
    if (fs::exists(file)) fs::rename(file, to.string() + suffix);
  }
}

}  // namespace

Rebuilt rebuild_store(const Workspace& workspace) {
  const fs::path made = workspace.root / "store.db.rebuilding";
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(made.string() + suffix);
  Rebuilt rebuilt;
  {
    std::map<std::string, JobRecord> records;
    std::vector<JobFolder> folders;
    for (JobFolder& folder : job_folders(workspace)) {
      if (folder.spec.is_object()) {
        records.emplace(folder.id, record_of(folder, workspace));
        folders.push_back(std::move(folder));
      } else if (folder.problem.empty()) {  // Of a job that has not ended.
        rebuilt.problems.push_back(
            fmt::format("{}: says nowhere what job it is", folder.path.string()));
      } else {
        rebuilt.problems.push_back(folder.problem);
      }
    }
    Store store(made);
    store.record_jobs(in_order(std::move(records)));
    rebuilt.jobs = static_cast<std::int64_t>(folders.size());
    const Attempts ended = read_attempts(workspace);
    for (const JobFolder& folder : folders) adopt(folder, ended, workspace, store, rebuilt);
  }
  if (fs::exists(workspace.store())) {
    rebuilt.former = free_name(workspace.store());
    move_with_log(workspace.store(), rebuilt.former);
  }
  move_with_log(made, workspace.store());
  fsync_folder(workspace.root);
  return rebuilt;
}

}  // namespace assay
