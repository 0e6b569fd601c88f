#include "core/digest.h"
#include "core/error.h"
#include "runner/job_run.h"
#include "runner/job_spec.h"
#include "runner/store_folders.h"
#include "runner/store_tools.h"

#include <algorithm>
#include <set>
#include <unordered_set>

namespace assay {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::uintmax_t size_of(const fs::path& path) {
  std::error_code gone;
  if (fs::is_regular_file(path, gone)) return fs::file_size(path, gone);
  std::uintmax_t bytes = 0;
  for (auto entry = fs::recursive_directory_iterator(path, gone);
       entry != fs::recursive_directory_iterator(); entry.increment(gone)) {
    if (entry->is_regular_file(gone)) bytes += entry->file_size(gone);
  }
  return bytes;
}

/// Folders and files below `features` and `masks` that jobs read.
struct Needed {
  std::unordered_set<std::string> jobs;
  std::set<std::string> features;  // `<key>/<dataset>-<manifest>`, as datasets/feature_layout.h.
  std::set<std::string> masks;     // `<manifest>/<size>.h5`.
  std::unordered_set<std::string> states;  // Train jobs from which one goes on that is not done.

  void add(const json& spec) {
    const json& encoder = spec.at("encoder");
    const std::string key = sha256(canonical_json(encoder));
    std::int64_t mask_size = encoder.at("features").at("image_size");
    mask_size = spec.value("eval_size", mask_size);
    std::vector<json> parts = spec.value("parts", std::vector<json>());
    if (spec.contains("part")) parts.push_back(spec["part"]);
    for (const json& part : parts) {
      const std::string manifest = part.at("manifest_digest");
      features.insert(fmt::format("{}/{}-{}", key, part.at("dataset").get<std::string>(),
                                  manifest.substr(0, 16)));
      masks.insert(fmt::format("{}/{}.h5", manifest, mask_size));
    }
  }
};

Needed needed_by_studies(const Store& store) {
  Needed needed;
  for (const StudyRecord& study : store.studies()) {
    for (const JobStatus& job : store.jobs(study.name)) {
      if (!needed.jobs.insert(job.id).second) continue;
      const JobRecord record = store.job(job.id);
      needed.add(json::parse(record.spec));
      if (job.kind != "train" || job.state == "done") continue;
      needed.states.insert(record.dependencies.begin(), record.dependencies.end());
    }
  }
  return needed;
}

void add(std::vector<Garbage>& garbage, const fs::path& path, const std::string& why) {
  garbage.push_back({.path = path, .why = why, .bytes = size_of(path)});
}

/// Entries two levels below `root` that are not in `needed`.
void add_unneeded(const fs::path& root,
                  const std::set<std::string>& needed,
                  const std::string& why,
                  std::vector<Garbage>& garbage) {
  std::error_code missing;
  for (const auto& outer : fs::directory_iterator(root, missing)) {
    for (const auto& inner : fs::directory_iterator(outer.path(), missing)) {
      const std::string name = inner.path().lexically_relative(root).string();
      if (inner.path().extension() == ".partial" || needed.contains(name)) continue;
      add(garbage, inner.path(), why);
    }
  }
}

}  // namespace

std::vector<Garbage> find_garbage(const Store& store, const Workspace& workspace) {
  if (store.studies().empty()) {
    throw ConfigError(
        "{}: no study is recorded, so nothing would be needed; 'assay run STUDY.toml' records one, "
        "and starts nothing where all is done",
        workspace.root.string());
  }
  const Needed needed = needed_by_studies(store);
  std::vector<Garbage> garbage;
  std::unordered_set<std::string> listed;
  for (const JobFolder& folder : job_folders(workspace)) {
    listed.insert(folder.id);
    const fs::path state = folder.path / "state.safetensors";
    if (!needed.jobs.contains(folder.id)) {
      for (const fs::path& path : {workspace.result(folder.id), folder.path}) {
        if (!fs::exists(path)) continue;
        add(garbage, path, "a job that no study needs");
        garbage.back().job = folder.id;
      }
    } else if (fs::exists(state) && read_result(workspace, folder.id) &&
               !needed.states.contains(folder.id)) {
      add(garbage, state, "the state of a training from which none goes on");
    }
  }
  for (const JobStatus& job : store.jobs()) {
    if (needed.jobs.contains(job.id) || listed.contains(job.id)) continue;
    garbage.push_back({.path = workspace.job(job.id),
                       .why = "a job that no study needs, in the store alone",
                       .job = job.id});
  }
  add_unneeded(workspace.features(), needed.features, "features that no job of a study reads",
               garbage);
  add_unneeded(workspace.masks(), needed.masks, "masks that no job of a study reads", garbage);
  for (const fs::path& path : leftovers(workspace)) {
    add(garbage, path, "left by a writer that was killed");
  }
  return garbage;
}

void remove_garbage(const std::vector<Garbage>& garbage, Store& store) {
  std::vector<std::string> jobs;
  for (const Garbage& item : garbage) {
    if (!item.job.empty()) jobs.push_back(item.job);
  }
  store.forget_jobs(jobs);
  for (const Garbage& item : garbage) {
    std::error_code error;
    fs::remove_all(item.path, error);
    if (error) throw DataError("{}: cannot be removed: {}", item.path.string(), error.message());
    fs::remove(item.path.parent_path(), error);  // Where it is empty now; else it stays.
  }
}

}  // namespace assay
