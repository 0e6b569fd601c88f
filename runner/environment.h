#pragma once

#include "runner/compute_device.h"

#include <nlohmann/json.hpp>

namespace assay {

/// What is recorded of where a gang computes: `host`, `cpu_capability`, `threads`, and in
/// `environment` versions of the program and its libraries, CPU model, kernel, compiler, and the
/// GPU where there is one.
[[nodiscard]] nlohmann::json environment_facts(const ComputeDevice& device);

}  // namespace assay
