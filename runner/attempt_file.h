#pragma once

#include "core/file.h"
#include "results/store.h"
#include "runner/workspace.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace assay {

/// `jobs/attempts.jsonl`: all that the store knows of each attempt that has ended, a line each, so
/// that the store can be made again. Not durable: the store is what counts.
class AttemptsFile {
 public:
  explicit AttemptsFile(const Workspace& workspace) : path_(workspace.attempts()) {}
  /// What cannot be written is left out.
  void append(const Attempt& attempt);

 private:
  std::filesystem::path path_;
  Descriptor file_;
  bool torn_ = true;  // The last line may be: a writer was killed, or the disk is full.
};

/// By job and number; of lines that speak of the same attempt the last one counts.
using Attempts = std::map<std::string, std::map<std::int64_t, Attempt>>;
[[nodiscard]] Attempts read_attempts(const Workspace& workspace);

/// `exit.json` in the attempt's folder, which older builds wrote; nothing where it is missing.
[[nodiscard]] std::optional<Attempt> read_attempt_file(const std::filesystem::path& folder);

[[nodiscard]] nlohmann::json to_json(const Attempt& attempt);

}  // namespace assay
