#pragma once

#include "runner/workspace.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// A folder below `jobs/`.
struct JobFolder {
  std::string id;
  std::filesystem::path path;
  nlohmann::json spec;  ///< Null where `problem` says why.
  std::string problem;  ///< Empty where spec.json is there and its SHA-256 is the folder's name.
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
