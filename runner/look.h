#pragma once

#include "results/store.h"
#include "runner/cli.h"

#include <map>
#include <string>

namespace assay {

/// The workspace's store, for commands that look at what a run has left. Throws ConfigError where
/// there is none.
[[nodiscard]] Store open_store(const Places& places);

/// What people call each job of a store, by id (`job_labels`).
[[nodiscard]] std::map<std::string, std::string> stored_labels(const Store& store);

}  // namespace assay
