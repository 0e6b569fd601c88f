#pragma once

#include <nlohmann/json.hpp>

namespace assay {

/// What is recorded of where a gang computes: `host`, `cpu_capability`, `threads`, and in
/// `environment` versions of the program and its libraries, CPU model, kernel, compiler.
[[nodiscard]] nlohmann::json environment_facts();

}  // namespace assay
