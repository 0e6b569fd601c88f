#pragma once

#include "runner/job_spec.h"
#include "runner/workspace.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace assay {

/// One attempt at a job, as the coordinator hands it to a gang: the identity, and beside it where
/// things lie on this machine, which changes no number. Travels as `attempt-N/run.json`.
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
};

[[nodiscard]] nlohmann::json to_json(const JobRun& run);
/// The inverse. Throws ConfigError on a missing field.
[[nodiscard]] JobRun job_run_from_json(const nlohmann::json& json);

/// The data sets that a job's spec names, each once.
[[nodiscard]] std::vector<std::string> datasets_of(const nlohmann::json& spec);

/// Makes the attempt's folder in that of its job, with spec.json beside it, and run.json in it; a
/// result of a former attempt is removed. Returns run.json's path; `sha256` receives its digest.
[[nodiscard]] std::filesystem::path write_run(const JobRun& run, std::string& sha256);

/// result.json of a job: what makes it done. Nothing where there is none or it is not that job's.
[[nodiscard]] std::optional<nlohmann::json> read_result(const Workspace& workspace,
                                                        const std::string& id);

/// What result.json says of the files beside it: `{"scores.h5": {"bytes": ..., "sha256": ...}}`, of
/// those of `names` that are there.
[[nodiscard]] nlohmann::json describe_files(const std::filesystem::path& folder,
                                            const std::vector<std::string>& names);

/// What is wrong with the files that a job's result names: one is missing, or has another length
/// or, where `digests`, another SHA-256. Empty where all is well.
[[nodiscard]] std::string result_problem(const Workspace& workspace,
                                         const nlohmann::json& result,
                                         bool digests);

}  // namespace assay
