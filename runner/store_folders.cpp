#include "runner/store_folders.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/job_run.h"
#include "runner/job_spec.h"

#include <algorithm>
#include <set>
#include <utility>

namespace assay {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// The spec that the job's own files say, and in which.
std::pair<json, fs::path> spec_in(const Workspace& workspace, const std::string& id) {
  fs::path file = result_file(workspace, id);
  if (!file.empty()) {
    const json result = json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
    if (result.is_object() && result.contains("spec")) return {result["spec"], file};
  }
  file = workspace.job(id) / "spec.json";
  if (!fs::is_regular_file(file)) return {};
  return {json::parse(read_file(file), nullptr, /*allow_exceptions=*/false), file};
}

JobFolder read_folder(const Workspace& workspace, const std::string& id) {
  JobFolder folder{.id = id, .path = workspace.job(id), .spec = {}, .problem = {}};
  auto [spec, file] = spec_in(workspace, id);
  if (file.empty()) return folder;
  if (!spec.is_object() || identity(spec) != id) {
    folder.problem = fmt::format("{}: the SHA-256 of its spec is not its name", file.string());
    return folder;
  }
  folder.spec = std::move(spec);
  return folder;
}

}  // namespace

std::vector<JobFolder> job_folders(const Workspace& workspace) {
  std::set<std::string> ids;  // A result, a folder or both.
  std::error_code missing;
  for (const auto& group : fs::directory_iterator(workspace.jobs(), missing)) {
    for (const auto& entry : fs::directory_iterator(group.path(), missing)) {
      if (entry.path().extension() != ".partial") ids.insert(entry.path().stem().string());
    }
  }
  std::vector<JobFolder> folders;
  for (const std::string& id : ids) folders.push_back(read_folder(workspace, id));
  return folders;
}

std::vector<fs::path> leftovers(const Workspace& workspace) {
  std::error_code missing;
  std::vector<fs::path> paths;
  for (auto entry = fs::recursive_directory_iterator(workspace.root, missing);
       entry != fs::recursive_directory_iterator(); entry.increment(missing)) {
    if (entry->path().extension() == ".partial") paths.push_back(entry->path());
  }
  std::ranges::sort(paths);
  return paths;
}

std::vector<std::string> needs_of(const json& spec) {
  std::vector<std::string> needs;
  const auto encode = [&](const json& part) {
    needs.push_back(
        identity({{"kind", "encode"}, {"encoder", spec.at("encoder")}, {"part", part}}));
  };
  if (spec.at("kind") == "evaluate") encode(spec.at("part"));
  for (const json& part : spec.value("parts", json::array())) encode(part);
  if (const std::string checkpoint = spec.value("checkpoint", ""); !checkpoint.empty()) {
    needs.push_back(checkpoint);
  }
  for (const json& checkpoint : spec.value("checkpoints", json::array())) {
    needs.push_back(checkpoint);
  }
  return needs;
}

std::string cost_class_of(const json& spec) {
  const std::string kind = spec.at("kind");
  const json& features = spec.at("encoder").at("features");
  std::string text = kind;
  if (spec.contains("method")) text += "/" + spec["method"].get<std::string>();
  text += fmt::format("/{}/{}", features.at("backbone").get<std::string>(),
                      features.at("image_size").get<std::int64_t>());
  if (spec.contains("eval_size")) text += "/" + spec["eval_size"].dump();
  for (const char* key : {"phase", "form"}) {
    if (spec.contains(key)) text += "/" + spec[key].get<std::string>();
  }
  return text;
}

}  // namespace assay
