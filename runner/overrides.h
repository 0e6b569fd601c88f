#pragma once

#include "runner/study.h"
#include "runner/toml_reader.h"

#include <string>
#include <vector>

namespace assay {

/// Applies `KEY=VALUE,...` of a command line to a parsed study file: a study key is replaced in
/// `root`; the others are returned as axes for `vary`. A value is TOML where it reads as such
/// (`5`, `true`, `[6, 12]`), else a string. Throws ConfigError where an override is not of that
/// form.
[[nodiscard]] std::vector<Axis> apply_overrides(const std::vector<std::string>& overrides,
                                                TomlNode& root);

/// Replaces each axis in every sweep whose method has the switch. Throws ConfigError where no
/// sweep has it (naming the nearest), or where it stands in a `zip`.
void vary(Study& study, const std::vector<Axis>& axes);

}  // namespace assay
