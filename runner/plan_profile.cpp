#include "runner/plan_profile.h"

#include "core/error.h"
#include "runner/plan_parts.h"

#include <algorithm>

namespace assay {
namespace {

using nlohmann::json;

/// `spec/ablations.md` 5.1.
constexpr std::int64_t kTrainSteps = 100, kInferImages = 200;

Job profile_job(const ProfileSpec& spec, const Variant& variant) {
  const ParameterCounts& parameters = variant.resolved.parameters;
  json hints = {
      {"preset", variant.resolved.preset},
      {"switches", variant.resolved.switches},
      {"parameters", {{"registered", parameters.registered}, {"trained", parameters.trained}}}};
  return {.kind = JobKind::kProfile,
          .spec_text = SpecTemplate(to_json(spec)).fill({}),
          .shared_hints = std::move(hints),
          .cost_class = fmt::format("profile/{}/{}/{}/{}", spec.method, backbone_and_size(variant),
                                    spec.phase, spec.form),
          .work = static_cast<double>((spec.steps + spec.warmup) * spec.batch)};
}

}  // namespace

std::vector<Job> profile_jobs(const Study& study, PlanInputs& inputs) {
  std::vector<Job> jobs;
  if (study.profiles.empty()) return jobs;
  const Manifest& images = test_images(inputs, study.targets.front());
  const DatasetPart part = dataset_part(images, manifest_digest(images));
  const Machine machine = inputs.machine();
  const std::string precision = precision_of(study, JobKind::kProfile);
  for (const ProfileRequest& profile : study.profiles) {
    const bool trains = std::ranges::count(profile.phases, "train") > 0;
    if (trains && profile.batch > std::ssize(images.samples)) {
      throw ConfigError("{}: 'batch' is {}, but {}, of which it is taken, has {} test images",
                        profile.place, profile.batch, images.dataset, images.samples.size());
    }
    for (const std::string& method : profile.methods) {
      const Variant variant = resolve_variant(study, {.method = method}, {});
      for (const std::string& phase : profile.phases) {
        const bool train = phase == "train";
        const FeatureSpec& features =
            train ? variant.resolved.training_features : variant.resolved.features;
        for (const std::string& form : profile.forms) {
          jobs.push_back(
              profile_job({.method = variant.resolved.method,
                           .switches = variant.resolved.effective,
                           .encoder = encoder_spec(variant, features, precision, inputs),
                           .part = part,
                           .phase = phase,
                           .form = form,
                           .batch = train ? profile.batch : 1,
                           .steps = profile.steps.value_or(train ? kTrainSteps : kInferImages),
                           .warmup = profile.warmup,
                           .device = machine.device,
                           .host = machine.host,
                           .build = machine.build,
                           .precision = precision},
                          variant));
        }
      }
    }
  }
  return jobs;
}

}  // namespace assay
