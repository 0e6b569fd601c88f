#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// One thing that `assay doctor` looked at.
struct Finding {
  std::string what;
  bool good = true;
  bool needed = true;  ///< Nothing runs without it.
  std::string found;
  std::string remedy;  ///< The line to type where it is not good.
};

/// What works on the GPUs of this machine, within a minute: every finding is needed. Where there
/// are none it says why.
[[nodiscard]] std::vector<Finding> try_gpus(const std::filesystem::path& worker);

}  // namespace assay
