#include "runner/store_folders.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/job_spec.h"

#include <algorithm>

namespace assay {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code missing;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder, missing)) paths.push_back(entry.path());
  std::ranges::sort(paths);
  return paths;
}

JobFolder read_folder(const fs::path& path) {
  JobFolder folder{.id = path.filename().string(), .path = path, .spec = {}, .problem = {}};
  const fs::path file = path / "spec.json";
  if (!fs::is_regular_file(file)) {
    folder.problem = fmt::format("{}: has no spec.json", path.string());
    return folder;
  }
  json spec = json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!spec.is_object() || identity(spec) != folder.id) {
    folder.problem = fmt::format("{}: its SHA-256 is not the folder's name", file.string());
    return folder;
  }
  folder.spec = std::move(spec);
  return folder;
}

}  // namespace

std::vector<JobFolder> job_folders(const Workspace& workspace) {
  std::vector<JobFolder> folders;
  for (const fs::path& group : entries_of(workspace.root / "jobs")) {
    for (const fs::path& path : entries_of(group)) folders.push_back(read_folder(path));
  }
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
