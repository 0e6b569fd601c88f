#pragma once

#include "results/store.h"

#include <filesystem>
#include <optional>
#include <string>

namespace assay {

/// Writes `exit.json` into the attempt's folder: all that the store knows of an attempt that has
/// ended, so that it can be made again from the folder. Not durable: the store is what counts.
void write_attempt_file(const Attempt& attempt, const std::filesystem::path& folder);

/// Reads it again; nothing where it is missing or was written by an older build.
[[nodiscard]] std::optional<Attempt> read_attempt_file(const std::filesystem::path& folder);

}  // namespace assay
