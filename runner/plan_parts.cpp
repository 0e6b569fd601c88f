#include "runner/plan_parts.h"

#include "core/error.h"
#include "runner/precision.h"

namespace assay {

const Manifest& test_images(PlanInputs& inputs, const std::string& dataset) {
  const Manifest& test = inputs.manifest(dataset, "test");
  if (test.samples.empty()) throw DataError("data set '{}' has no test images", dataset);
  return test;
}

DatasetPart dataset_part(const Manifest& manifest, std::string digest) {
  return {.dataset = manifest.dataset,
          .split = manifest.split,
          .manifest_digest = std::move(digest),
          .skipped = manifest.skipped};
}

EncoderSpec encoder_spec(const Variant& variant,
                         const FeatureSpec& features,
                         std::string precision,
                         PlanInputs& inputs) {
  return {.weights_sha256 = inputs.weights_sha256(*variant.backbone),
          .features = features,
          .precision = std::move(precision)};
}

std::string precision_of(const Study& study, JobKind kind) {
  return study.precision.find(std::string(to_string(kind))).value_or(kDefaultPrecision);
}

std::string backbone_and_size(const Variant& variant) {
  return fmt::format("{}/{}", variant.backbone->name, variant.image_size);
}

}  // namespace assay
