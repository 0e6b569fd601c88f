#pragma once

#include "core/file.h"

#include <nlohmann/json.hpp>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// A program of which this one reads what it prints, line by line; its errors go where ours go. It
/// is a process group of its own and is killed with this object.
class ChildOutput {
 public:
  /// `command`: the program first, looked for in $PATH. Throws ConfigError where it cannot be
  /// started.
  ChildOutput(const std::vector<std::string>& command, std::vector<std::string> environment);
  ~ChildOutput();
  ChildOutput(const ChildOutput&) = delete;
  ChildOutput& operator=(const ChildOutput&) = delete;

  /// The next line; nothing at the end of the output, or at `deadline`.
  [[nodiscard]] std::optional<std::string> next_line(
      std::chrono::steady_clock::time_point deadline);

  /// The next line that is a JSON object, or nothing as above. Other lines, such as NCCL's own, go
  /// to standard error.
  [[nodiscard]] std::optional<nlohmann::json> next_object(
      std::chrono::steady_clock::time_point deadline);

  /// Kills what still runs and returns how it ended: its exit code, or 128 + the signal.
  int end();

 private:
  Descriptor output_;
  pid_t pid_ = -1;
  std::string buffer_;
  std::optional<int> ended_;
};

}  // namespace assay
