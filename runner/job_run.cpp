#include "runner/job_run.h"

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
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

/// Whole or not there for every reader, though not after a power cut: what an attempt starts from
/// is written again by the next one.
void write_lightly(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path temporary = path.string() + ".partial";
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  std::ofstream file(temporary, std::ios::binary);
  file << text;
  file.close();
  if (file) std::filesystem::rename(temporary, path, error);
  if (!file || error) {
    const std::string why = error ? error.message() : std::strerror(errno);
    std::filesystem::remove(temporary, error);
    throw DataError("{}: write failed, {} bytes needed: {}", path.string(), text.size(), why);
  }
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
    throw ConfigError("run.json: {}", error.what());
  }
}

std::vector<std::string> datasets_of(const nlohmann::json& spec) {
  std::set<std::string> names;
  for (const auto& part : parts_of(spec)) names.insert(part.at("dataset").get<std::string>());
  return {names.begin(), names.end()};
}

std::filesystem::path write_run(const JobRun& run, std::string& sha256) {
  if (std::filesystem::remove(run.folder() / "result.json")) fsync_folder(run.folder());
  write_lightly(run.folder() / "spec.json", canonical_json(run.spec) + "\n");
  const std::filesystem::path file =
      run.folder() / fmt::format("attempt-{}", run.attempt) / "run.json";
  const std::string text = to_json(run).dump(1) + "\n";
  write_lightly(file, text);
  sha256 = assay::sha256(text);
  return file;
}

std::optional<nlohmann::json> read_result(const Workspace& workspace, const std::string& id) {
  const std::filesystem::path file = workspace.job(id) / "result.json";
  if (!std::filesystem::exists(file)) return std::nullopt;
  nlohmann::json result = nlohmann::json::parse(read_file(file), nullptr, false);
  if (!result.is_object() || result.value("id", "") != id) return std::nullopt;
  return result;
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
      return fmt::format("{}: has {} bytes, result.json says {}", path.string(), bytes,
                         file.value("bytes", std::uintmax_t{0}));
    }
    if (digests && sha256_file(path) != file.value("sha256", "")) {
      return fmt::format("{}: has another SHA-256 than result.json says", path.string());
    }
  }
  return {};
}

}  // namespace assay
