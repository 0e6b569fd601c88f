#pragma once

#include "runner/workspace.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// What is below `jobs/` of one job: its result, its folder, or both.
struct JobFolder {
  std::string id;
  std::filesystem::path path;  ///< The folder's, whether there or not.
  nlohmann::json spec;  ///< Null where there is none, as of a job that is not done, or `problem`.
  std::string problem;  ///< Empty where the spec's SHA-256 is the id, or there is none.
};

/// All of them, by id.
[[nodiscard]] std::vector<JobFolder> job_folders(const Workspace& workspace);

/// Files that a killed writer has left: `*.partial`, anywhere in the workspace.
[[nodiscard]] std::vector<std::filesystem::path> leftovers(const Workspace& workspace);

/// Jobs that one of this spec needs: its encode jobs and checkpoints.
[[nodiscard]] std::vector<std::string> needs_of(const nlohmann::json& spec);

/// `train/faprompt/assay-tiny/128`, as `make_plan` names it.
[[nodiscard]] std::string cost_class_of(const nlohmann::json& spec);

}  // namespace assay
