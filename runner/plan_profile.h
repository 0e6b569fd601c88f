#pragma once

#include "runner/plan.h"

#include <vector>

namespace assay {

/// The jobs of a study's `[[profile]]` blocks, less their ids. They need no other job: each encodes
/// the images that it measures itself. Throws ConfigError where the first target has fewer images
/// than a batch.
[[nodiscard]] std::vector<Job> profile_jobs(const Study& study, PlanInputs& inputs);

}  // namespace assay
