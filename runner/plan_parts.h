#pragma once

#include "runner/plan.h"
#include "runner/variant.h"

#include <string>

namespace assay {

// What the plans of several kinds of jobs are made of.

/// Test images of a target. Throws DataError where there are none.
[[nodiscard]] const Manifest& test_images(PlanInputs& inputs, const std::string& dataset);

/// A manifest in an identity.
[[nodiscard]] DatasetPart dataset_part(const Manifest& manifest, std::string digest);

/// What turns images into `features`, on the variant's backbone and in `precision`.
[[nodiscard]] EncoderSpec encoder_spec(const Variant& variant,
                                       const FeatureSpec& features,
                                       std::string precision,
                                       PlanInputs& inputs);

/// Of a kind of job, as the study says.
[[nodiscard]] std::string precision_of(const Study& study, JobKind kind);

/// `assay-tiny/128`, for cost classes.
[[nodiscard]] std::string backbone_and_size(const Variant& variant);

}  // namespace assay
