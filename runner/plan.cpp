#include "runner/plan.h"

#include "core/error.h"
#include "results/table.h"
#include "runner/precision.h"
#include "runner/training_set.h"
#include "runner/variant.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace assay {
namespace {

using nlohmann::json;

json without(const json& switches, const std::vector<std::string>& prefixes) {
  json kept = json::object();
  for (const auto& [key, value] : switches.items()) {
    const auto starts = [&key = key](const std::string& prefix) { return key.starts_with(prefix); };
    if (std::ranges::none_of(prefixes, starts)) kept[key] = value;
  }
  return kept;
}

std::string counts_text(const Manifest& manifest) {
  const auto anomalous = std::ranges::count(manifest.samples, 1, &Sample::label);
  return fmt::format("{}/{}", static_cast<std::int64_t>(manifest.samples.size()) - anomalous,
                     anomalous);
}

/// Turns the rows of a study into jobs, each once.
class Planner {
 public:
  Planner(const Study& study, PlanInputs& inputs) : study_(study), inputs_(inputs) {}

  Plan run() {
    for (const Sweep& sweep : study_.sweeps) {
      for (const Setting& setting : settings(sweep)) add_variant(sweep, setting);
    }
    return std::move(plan_);
  }

 private:
  void add_variant(const Sweep& sweep, const Setting& setting) {
    const Variant variant = resolve_variant(study_, sweep, setting);
    for (const std::string& text : variant.resolved.notes) note(label(variant) + ": " + text);
    std::vector<std::optional<std::int64_t>> seeds = {std::nullopt};
    if (variant.resolved.trained) {
      const std::vector<std::int64_t>& given = sweep.seeds ? *sweep.seeds : study_.seeds;
      seeds.assign(given.begin(), given.end());
    }
    for (const std::optional<std::int64_t>& seed : seeds) {
      for (const std::string& target : study_.targets) add_cell(variant, seed, target);
    }
  }

  EncoderSpec encoder(const Variant& variant, const FeatureSpec& features) {
    return {.weights_sha256 = inputs_.weights_sha256(*variant.backbone),
            .features = features,
            .precision = precision(JobKind::kEncode)};
  }

  std::string precision(JobKind kind) const {
    return study_.precision.find(std::string(to_string(kind))).value_or(kDefaultPrecision);
  }

  void add_cell(const Variant& variant,
                std::optional<std::int64_t> seed,
                const std::string& target) {
    const Manifest& test = inputs_.manifest(target, "test");
    if (test.samples.empty()) throw DataError("data set '{}' has no test images", target);
    const EncoderSpec read = encoder(variant, variant.resolved.features);
    StudyCell cell{.method = variant.resolved.method,
                   .preset = variant.resolved.preset,
                   .params = variant.params,
                   .seed = seed,
                   .dataset = target,
                   .eval_size = variant.eval_size};
    EvaluateSpec spec{.method = variant.resolved.method,
                      // What the checkpoint stands for would only be repeated.
                      .switches = without(variant.resolved.effective, {"train.", "loss."}),
                      .encoder = read,
                      .part = part_of(test),
                      .eval_size = variant.eval_size,
                      .precision = precision(JobKind::kEvaluate)};
    std::vector<std::string> dependencies = {add_encode(variant, read, test)};
    cell.protocol = {{"backbone", variant.backbone->name},
                     {"image_size", variant.image_size},
                     {"eval_size", variant.eval_size},
                     {"data_profile", counts_text(test)}};
    if (!variant.resolved.notes.empty()) cell.protocol["notes"] = variant.resolved.notes;
    if (!test.skipped.empty()) cell.protocol["skipped"] = test.skipped;
    const json& switches = variant.resolved.switches;
    if (switches.contains("infer.sigma")) cell.protocol["sigma"] = switches["infer.sigma"];
    cell.protocol["train_sets"] = "none";
    if (seed) {
      const TrainingSet training = training_set(study_, variant, target, inputs_);
      check_masks(study_, variant, training);
      cell.overlap = overlap(training, test);
      spec.checkpoint = add_train(variant, training, *seed);
      dependencies.push_back(spec.checkpoint);
      cell.train_dataset = fmt::format("{}", fmt::join(training.sets, "+"));
      cell.protocol["train_sets"] = cell.train_dataset;
      cell.protocol["train_split"] = training.split;
      cell.protocol["epochs"] = switches.at("train.epochs");
      if (cell.overlap > 0) note_overlap(cell, training, test);
    }
    cell.job = add(JobKind::kEvaluate, to_json(spec), hints(variant), dependencies,
                   fmt::format("evaluate/{}/{}/{}", variant.resolved.method, where(variant),
                               variant.eval_size),
                   static_cast<double>(test.samples.size()));
    plan_.cells.push_back(std::move(cell));
  }

  std::string add_encode(const Variant& variant,
                         const EncoderSpec& read,
                         const Manifest& manifest) {
    const EncodeSpec spec{.encoder = read, .part = part_of(manifest)};
    return add(JobKind::kEncode, to_json(spec), json::object(), {}, "encode/" + where(variant),
               static_cast<double>(manifest.samples.size()));
  }

  std::string add_train(const Variant& variant, const TrainingSet& training, std::int64_t seed) {
    const json& switches = variant.resolved.switches;
    // These have fields of their own; the split is in the parts.
    std::vector<std::string> elsewhere = {"train.split", "train.epochs", "train.batch", "train.lr"};
    for (std::string& idle : idle_switches(training)) elsewhere.push_back(std::move(idle));
    TrainSpec spec{.method = variant.resolved.method,
                   .switches = without(variant.resolved.training, elsewhere),
                   .encoder = encoder(variant, variant.resolved.training_features),
                   .seed = seed,
                   .epochs = switches.at("train.epochs"),
                   .precision = precision(JobKind::kTrain)};
    std::vector<std::string> dependencies;
    if (spec.epochs > 0) {  // Else neither images nor their order nor the rate matter.
      spec.batch = switches.at("train.batch");
      spec.learning_rate = switches.at("train.lr");
      for (const Manifest* part : training.parts) {
        spec.parts.push_back(part_of(*part));
        dependencies.push_back(add_encode(variant, spec.encoder, *part));
      }
    }
    return add(JobKind::kTrain, to_json(spec), hints(variant), dependencies,
               fmt::format("train/{}/{}", variant.resolved.method, where(variant)),
               static_cast<double>(training.num_images() * spec.epochs));
  }

  std::string add(JobKind kind,
                  json spec,
                  json hints,
                  std::vector<std::string> dependencies,
                  std::string cost_class,
                  double work) {
    const std::string id = identity(spec);
    if (ids_.insert(id).second) {
      plan_.jobs.push_back({.id = id,
                            .kind = kind,
                            .spec = std::move(spec),
                            .hints = std::move(hints),
                            .dependencies = std::move(dependencies),
                            .cost_class = std::move(cost_class),
                            .work = work});
    }
    return id;
  }

  std::int64_t overlap(const TrainingSet& training, const Manifest& test) {
    const auto key = std::pair(training.parts, &test);
    const auto known = overlaps_.find(key);
    if (known != overlaps_.end()) return known->second;
    return overlaps_.emplace(key, count_overlap(study_, training, test)).first->second;
  }

  DatasetPart part_of(const Manifest& manifest) {
    const auto key = std::pair(manifest.dataset, manifest.split);
    auto digest = digests_.find(key);
    if (digest == digests_.end()) digest = digests_.emplace(key, manifest_digest(manifest)).first;
    return {.dataset = manifest.dataset,
            .split = manifest.split,
            .manifest_digest = digest->second,
            .skipped = manifest.skipped};
  }

  void note_overlap(const StudyCell& cell, const TrainingSet& training, const Manifest& test) {
    note(fmt::format(
        "{} of the {} images of target {} are also in its "
        "training set {}: its cells are marked",
        cell.overlap, test.samples.size(), test.dataset, fmt::join(training.sets, "+")));
  }

  void note(const std::string& text) {
    if (std::ranges::find(plan_.notes, text) == plan_.notes.end()) plan_.notes.push_back(text);
  }

  static json hints(const Variant& variant) {
    return {{"preset", variant.resolved.preset}, {"switches", variant.resolved.switches}};
  }

  static std::string label(const Variant& variant) {
    return TableRow{.method = variant.resolved.method,
                    .preset = variant.resolved.preset,
                    .params = variant.params}
        .label();
  }

  static std::string where(const Variant& variant) {
    return fmt::format("{}/{}", variant.backbone->name, variant.image_size);
  }

  const Study& study_;
  PlanInputs& inputs_;
  Plan plan_;
  std::set<std::string> ids_;
  std::map<std::pair<std::string, std::string>, std::string> digests_;
  std::map<std::pair<std::vector<const Manifest*>, const Manifest*>, std::int64_t> overlaps_;
};

}  // namespace

const Job& Plan::job(const std::string& id) const {
  const auto found = std::ranges::find(jobs, id, &Job::id);
  if (found == jobs.end()) throw std::out_of_range("job " + id + " is not in the plan");
  return *found;
}

Plan make_plan(const Study& study, PlanInputs& inputs) { return Planner(study, inputs).run(); }

std::vector<JobRecord> job_records(const Plan& plan) {
  std::vector<JobRecord> records;
  for (const Job& job : plan.jobs) {
    records.push_back({.id = job.id,
                       .kind = std::string(to_string(job.kind)),
                       .spec = job.spec,
                       .dependencies = job.dependencies,
                       .cost_class = job.cost_class,
                       .work = job.work});
  }
  return records;
}

}  // namespace assay
