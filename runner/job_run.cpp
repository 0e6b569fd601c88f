#include "runner/job_run.h"

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "core/unique_handle.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

namespace assay {
namespace {

/// The data set parts of a spec: `part` of an encode or evaluate job, `parts` of a train job.
std::vector<nlohmann::json> parts_of(const nlohmann::json& spec) {
  std::vector<nlohmann::json> parts;
  if (spec.contains("part")) parts.push_back(spec["part"]);
  if (spec.contains("parts")) {
    for (const auto& part : spec["parts"]) parts.push_back(part);
  }
  return parts;
}

struct FolderTraits {
  using Handle = DIR*;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle folder) noexcept { ::closedir(folder); }
};
using FolderHandle = UniqueHandle<FolderTraits>;

ResultList listed_results(const Workspace& workspace) {
  constexpr std::string_view kEnding = ".json";
  ResultList ids;
  std::error_code missing;
  for (const auto& group : std::filesystem::directory_iterator(workspace.jobs(), missing)) {
    // Thousands of entries: names alone, without a path object each.
    const FolderHandle folder(::opendir(group.path().c_str()));
    if (!folder) continue;
    while (const dirent* entry = ::readdir(folder.get())) {
      const std::string_view name = entry->d_name;
      if (name.ends_with(kEnding)) ids.emplace(name.substr(0, name.size() - kEnding.size()));
    }
  }
  return ids;
}

}  // namespace

nlohmann::json to_json(const JobRun& run) {
  nlohmann::json data = nlohmann::json::object();
  for (const auto& [name, root] : run.data) data[name] = root.string();
  return {{"id", run.id},
          {"attempt", run.attempt},
          {"kind", to_string(run.kind)},
          {"spec", run.spec},
          {"hints", run.hints},
          {"workspace", run.workspace.string()},
          {"weights", run.weights.string()},
          {"merges", run.merges.string()},
          {"data", data}};
}

JobRun job_run_from_json(const nlohmann::json& json) {
  const auto text = [&](const char* key) { return json.at(key).get<std::string>(); };
  try {
    JobRun run{.id = text("id"),
               .attempt = json.at("attempt"),
               .kind = job_kind_from(text("kind")),
               .spec = json.at("spec"),
               .hints = json.at("hints"),
               .workspace = text("workspace"),
               .weights = text("weights"),
               .merges = text("merges"),
               .data = {}};
    for (const auto& [name, root] : json.at("data").items())
      run.data[name] = root.get<std::string>();
    return run;
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError("the description of a run: {}", error.what());
  }
}

std::vector<std::string> datasets_of(const nlohmann::json& spec) {
  std::set<std::string> names;
  for (const auto& part : parts_of(spec)) names.insert(part.at("dataset").get<std::string>());
  return {names.begin(), names.end()};
}

std::string write_run(const JobRun& run, const std::filesystem::path& file) {
  const std::string text = to_json(run).dump() + "\n";
  // Cut to its length after it was written, never to nothing before: ext4 would wait for the disk.
  const Descriptor written(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  const auto size = static_cast<ssize_t>(text.size());
  if (!written || ::pwrite(written.get(), text.data(), text.size(), 0) != size ||
      ::ftruncate(written.get(), size) != 0) {
    const int code = errno;
    throw DataError("{}: write failed, {} bytes needed, {} free: {}", file.string(), size,
                    free_bytes_text(file), std::strerror(code));
  }
  return sha256(text);
}

std::filesystem::path result_file(const Workspace& workspace, const std::string& id) {
  for (std::filesystem::path file : {workspace.result(id), workspace.former_result(id)}) {
    if (std::filesystem::exists(file)) return file;
  }
  return {};
}

std::optional<nlohmann::json> read_result(const Workspace& workspace, const std::string& id) {
  const std::filesystem::path file = result_file(workspace, id);
  if (file.empty()) return std::nullopt;
  nlohmann::json result = nlohmann::json::parse(read_file(file), nullptr, false);
  if (!result.is_object() || result.value("id", "") != id) return std::nullopt;
  return result;
}

std::shared_future<ResultList> list_results(const Workspace& workspace) {
  return std::async(std::launch::async, listed_results, workspace);
}

void remove_result(const Workspace& workspace, const std::string& id) {
  for (const auto& file : {workspace.result(id), workspace.former_result(id)}) {
    if (std::filesystem::remove(file)) fsync_folder(file.parent_path());
  }
}

void make_durable(const Workspace& workspace, const std::string& id) {
  fsync_folder(workspace.result(id).parent_path());
  if (std::filesystem::exists(workspace.job(id))) fsync_folder(workspace.job(id));
}

nlohmann::json describe_files(const std::filesystem::path& folder,
                              const std::vector<std::string>& names) {
  nlohmann::json files = nlohmann::json::object();
  for (const std::string& name : names) {
    if (!std::filesystem::exists(folder / name)) continue;
    files[name] = {{"bytes", std::filesystem::file_size(folder / name)},
                   {"sha256", sha256_file(folder / name)}};
  }
  return files;
}

std::string result_problem(const Workspace& workspace, const nlohmann::json& result, bool digests) {
  if (!result.contains("files")) return {};
  const std::filesystem::path folder = workspace.job(result.at("id"));
  for (const auto& [name, file] : result["files"].items()) {
    const std::filesystem::path path = folder / name;
    std::error_code missing;
    const std::uintmax_t bytes = std::filesystem::file_size(path, missing);
    if (missing) return fmt::format("{}: {}", path.string(), missing.message());
    if (bytes != file.value("bytes", std::uintmax_t{0})) {
      return fmt::format("{}: has {} bytes, its result says {}", path.string(), bytes,
                         file.value("bytes", std::uintmax_t{0}));
    }
    if (digests && sha256_file(path) != file.value("sha256", "")) {
      return fmt::format("{}: has another SHA-256 than its result says", path.string());
    }
  }
  return {};
}

}  // namespace assay
