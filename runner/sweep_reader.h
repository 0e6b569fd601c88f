#pragma once

#include "runner/study.h"
#include "runner/toml_reader.h"

namespace assay {

/// Reads one `[[sweep]]`. Throws ConfigError with the place of what is wrong.
[[nodiscard]] Sweep read_sweep(TomlReader& toml);
/// Reads one `[[profile]]`, likewise.
[[nodiscard]] ProfileRequest read_profile(TomlReader& toml);

/// Runs `check` and throws with the place of `node` what it throws.
template <typename Check>
void check_at(const TomlNode& node, Check check) {
  try {
    check();
  } catch (const ConfigError& error) {
    throw ConfigError("{}: {}", node.place(), error.what());
  }
}

}  // namespace assay
