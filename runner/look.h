#pragma once

#include "results/store.h"
#include "runner/cli.h"

#include <map>
#include <string>
#include <vector>

namespace assay {

/// The workspace's store, for commands that look at what a run has left. Throws ConfigError where
/// there is none.
[[nodiscard]] Store open_store(const Places& places);

/// Whether a coordinator works here, or may on another host.
[[nodiscard]] bool coordinator_lives(const Workspace& workspace);

/// What the store says of a state or an outcome, as it is: `running` where no coordinator `lives`
/// is `interrupted`. What was killed could not say so.
[[nodiscard]] std::string present_state(const std::string& recorded, bool lives);
inline constexpr const char* kWhyInterrupted = "its coordinator died; the same command goes on";

/// The attempt with its present state as outcome; an interrupted one says why.
[[nodiscard]] Attempt present_attempt(Attempt attempt, bool lives);

/// The study of that name and those of its file that were run with other values (`parse_study`), by
/// name: the plain one first.
[[nodiscard]] std::vector<StudyRecord> studies_of_file(const Store& store, const std::string& name);

/// What people call each job of a store, by id (`job_labels`).
[[nodiscard]] std::map<std::string, std::string> stored_labels(const Store& store);

}  // namespace assay
