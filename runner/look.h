#pragma once

#include "results/store.h"
#include "runner/cli.h"

namespace assay {

/// The workspace's store, for commands that look at what a run has left. Throws ConfigError where
/// there is none.
[[nodiscard]] Store open_store(const Places& places);

}  // namespace assay
