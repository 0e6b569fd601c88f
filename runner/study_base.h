#pragma once

#include "runner/toml_reader.h"

#include <filesystem>
#include <string>

namespace assay {

/// Parses a study file together with its `base`, and the base's base: a key of a file replaces that
/// of its base, whole, tables and `[[sweep]]` included; what it does not say is the base's, with
/// the base's places. `text` receives the bases' contents as comments. Throws ConfigError as
/// `parse_toml`, where a base is missing, and where files are each other's base.
[[nodiscard]] TomlNode parse_with_base(const std::filesystem::path& path, std::string& text);

}  // namespace assay
