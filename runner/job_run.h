#pragma once

#include "runner/job_spec.h"
#include "runner/workspace.h"

#include <nlohmann/json.hpp>

#include <array>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>

namespace assay {

/// One attempt at a job, as the coordinator hands it to a gang: the identity, and beside it where
/// things lie on this machine, which changes no number. Travels as one of `kRunFiles`.
struct JobRun {
  std::string id;
  std::int64_t attempt = 0;  ///< Its number; 0: by hand.
  JobKind kind = JobKind::kEncode;
  nlohmann::json spec;   ///< The identity (`runner/job_spec.h`).
  nlohmann::json hints;  ///< As of `Job` (`runner/plan.h`).
  std::filesystem::path workspace;
  std::filesystem::path weights;                      ///< The backbone's.
  std::filesystem::path merges;                       ///< The tokenizer's.
  std::map<std::string, std::filesystem::path> data;  ///< Root of each data set that it reads.

  [[nodiscard]] Workspace paths() const { return {workspace}; }
  [[nodiscard]] std::filesystem::path folder() const { return paths().job(id); }
  [[nodiscard]] std::filesystem::path result() const { return paths().result(id); }
};

[[nodiscard]] nlohmann::json to_json(const JobRun& run);
/// The inverse. Throws ConfigError on a missing field.
[[nodiscard]] JobRun job_run_from_json(const nlohmann::json& json);

/// The data sets that a job's spec names, each once.
[[nodiscard]] std::vector<std::string> datasets_of(const nlohmann::json& spec);

/// In a gang's folder, in turn: of the job that runs, and of the one that comes next.
inline constexpr std::array<const char*, 2> kRunFiles = {"run-0.json", "run-1.json"};

/// Writes over that of an earlier job, in place: whoever reads it compares the digest, which is
/// returned. Throws DataError where the disk is full.
[[nodiscard]] std::string write_run(const JobRun& run, const std::filesystem::path& file);

/// Where it lies, or did in older builds; empty where there is none.
[[nodiscard]] std::filesystem::path result_file(const Workspace& workspace, const std::string& id);

/// The result of a job: what makes it done. Nothing where there is none or it is not that job's.
[[nodiscard]] std::optional<nlohmann::json> read_result(const Workspace& workspace,
                                                        const std::string& id);

/// The jobs of which a result is there, by its name alone; less those of older builds.
using ResultList = std::unordered_set<std::string>;

/// Begins to list them, beside whatever the caller does.
[[nodiscard]] std::shared_future<ResultList> list_results(const Workspace& workspace);

/// The job is not done: what a former attempt has left is gone for good.
void remove_result(const Workspace& workspace, const std::string& id);

/// What a result says of the files beside it: `{"scores.h5": {"bytes": ..., "sha256": ...}}`, of
/// those of `names` that are there.
[[nodiscard]] nlohmann::json describe_files(const std::filesystem::path& folder,
                                            const std::vector<std::string>& names);

/// A result that was found is on the disk: whoever wrote it may have died before it had seen to
/// that.
void make_durable(const Workspace& workspace, const std::string& id);

/// What is wrong with the files that a job's result names: one is missing, or has another length
/// or, where `digests`, another SHA-256. Empty where all is well.
[[nodiscard]] std::string result_problem(const Workspace& workspace,
                                         const nlohmann::json& result,
                                         bool digests);

}  // namespace assay
