#include "runner/plan.h"

#include "core/digest.h"
#include "core/error.h"
#include "results/table.h"
#include "runner/plan_parts.h"
#include "runner/plan_profile.h"
#include "runner/precision.h"
#include "runner/training_set.h"
#include "runner/variant.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>
#include <unordered_map>

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

double num_images(const Manifest& manifest) { return static_cast<double>(manifest.samples.size()); }

std::string counts_text(const Manifest& manifest) {
  const auto anomalous = std::ranges::count(manifest.samples, 1, &Sample::label);
  return fmt::format("{}/{}", static_cast<std::int64_t>(manifest.samples.size()) - anomalous,
                     anomalous);
}

double patches(const Variant& variant) {
  const auto grid = static_cast<double>(variant.image_size / variant.backbone->patch);
  return grid * grid;
}

/// Of features of one image, as `datasets/feature_store.h` lays them out.
double feature_bytes(const Variant& variant, const FeatureSpec& features) {
  const auto joint = static_cast<double>(variant.backbone->joint);
  const auto maps = static_cast<double>(features.streams.size() * features.layers.size());
  return maps * patches(variant) * (2 * joint + 4) + 4 * joint;
}

/// Several seeds that one evaluate job combines, or one.
using SeedGroup = std::vector<std::int64_t>;

/// One list of auxiliary sets for one variant: a training for each seed.
struct Training {
  TrainingSet set;
  SpecTemplate spec;  // Its hole: the seed.
  Job common;         // Less id and spec.
  std::map<std::int64_t, std::string> by_seed = {};
};

/// The encode jobs of one feature key.
struct EncodeJobs {
  SpecTemplate spec;  // Its hole: the part.
  std::string cost_class;
  double bytes_per_image = 0;
  std::map<const Manifest*, std::string> by_part = {};
};

/// Where a row is judged: on which images, after which training (none: nothing is trained), and
/// whether for curves on the auxiliary set.
struct Judged {
  const Manifest* images;
  const Training* training;
  bool on_train = false;
  auto operator<=>(const Judged&) const = default;
};

/// One variant, and what its jobs share.
struct Row {
  Variant variant;
  SharedJson hints;
  SpecTemplate evaluate;  // Its holes: checkpoints and part.
  std::string cost_class;
  EncodeJobs* encode;
  std::optional<std::int64_t> epoch = {};  // Of a curve.
  std::map<std::vector<std::string>, Training> trainings = {};
  std::map<Judged, StudyCell> cells = {};  // Less job and seed.
};

/// A training set of a target, and of which level its metrics are then.
struct Level {
  std::string name;  // `image`, `pixel`; empty: both.
  const std::vector<std::string>* sets;
};

/// Turns the rows of a study into jobs, each once.
class Planner {
 public:
  Planner(const Study& study, PlanInputs& inputs) : study_(study), inputs_(inputs) {}

  Plan run() {
    for (const Sweep& sweep : study_.sweeps) {
      for (const Setting& setting : settings(sweep)) add_variant(sweep, setting);
    }
    for (Job& job : profile_jobs(study_, inputs_)) add(std::move(job));
    return std::move(plan_);
  }

 private:
  void add_variant(const Sweep& sweep, const Setting& setting) {
    std::vector<Row> rows = make_rows(sweep, setting);
    const Variant& variant = rows.back().variant;
    for (const std::string& text : variant.resolved.notes) note(label(variant) + ": " + text);
    if (!variant.resolved.trained) {
      for (const std::string& target : study_.targets) {
        add_cell(rows.back(), {&test_images(inputs_, target), nullptr}, {}, {});
      }
      return;
    }
    for (const SeedGroup& seeds : seed_groups(sweep)) {
      for (const std::string& target : study_.targets) {
        for (const Level& level : levels_of(variant, target)) {
          add_trained(rows, test_images(inputs_, target), level, seeds);
        }
      }
      if (sweep.eval.on_train) add_on_train(rows, seeds);
    }
  }

  /// The variant, and before it the same with fewer epochs where curves want them.
  std::vector<Row> make_rows(const Sweep& sweep, const Setting& setting) {
    Variant variant = resolve_variant(study_, sweep, setting);
    std::vector<Row> rows;
    for (const std::int64_t epoch : curve_epochs(sweep, variant)) {
      Setting shorter = setting;
      std::erase_if(shorter, [&](const auto& entry) {
        return switch_name(variant.resolved.method, entry.first) == "train.epochs";
      });
      shorter.emplace_back("train.epochs", epoch);
      Row& row = rows.emplace_back(make_row(resolve_variant(study_, sweep, shorter), sweep));
      row.epoch = epoch;
      row.variant.params = variant.params;
    }
    rows.push_back(make_row(std::move(variant), sweep));
    return rows;
  }

  /// Epochs before the last. At a constant rate the checkpoint of an epoch is that of a training
  /// that ends there (`spec/ablations.md` 2.1): a job of its own, from which the longer one goes
  /// on.
  std::vector<std::int64_t> curve_epochs(const Sweep& sweep, const Variant& variant) const {
    std::vector<std::int64_t> epochs = sweep.eval.epochs;
    if (epochs.empty() && !sweep.eval.all_epochs) return epochs;
    const json& switches = variant.resolved.switches;
    const auto last = switches.at("train.epochs").get<std::int64_t>();
    const std::array kOnly = {std::pair("train.schedule", "constant"),
                              std::pair("train.select", "last")};
    for (const auto& [name, only] : kOnly) {
      if (switches.value(name, only) == only) continue;
      throw ConfigError(
          "{}: 'eval.epochs' of {}: with {} = {} an epoch is not the end of a shorter "
          "training; expected {}",
          sweep.place, label(variant), name, switches.at(name).dump(), only);
    }
    if (sweep.eval.all_epochs) {
      epochs.resize(static_cast<std::size_t>(std::max<std::int64_t>(last - 1, 0)));
      std::iota(epochs.begin(), epochs.end(), 1);
    } else if (epochs.back() > last) {
      throw ConfigError("{}: 'eval.epochs' has {}, but {} trains {} epochs", sweep.place,
                        epochs.back(), label(variant), last);
    }
    std::erase(epochs, last);
    return epochs;
  }

  Row make_row(Variant variant, const Sweep& sweep) {
    EvaluateSpec spec{.method = variant.resolved.method,
                      // What the checkpoint stands for would only be repeated.
                      .switches = without(variant.resolved.effective, {"train.", "loss."}),
                      .encoder = encoder(variant, variant.resolved.features),
                      .eval_size = variant.eval_size,
                      .precision = precision(JobKind::kEvaluate)};
    if (sweep.ensemble) {
      spec.checkpoints = {SpecTemplate::hole().get<std::string>()};
      spec.combine = sweep.ensemble->combine;
      variant.params["ensemble"] = spec.combine;
    }
    json holes = to_json(spec);
    holes[sweep.ensemble ? "checkpoints" : "checkpoint"] = SpecTemplate::hole();
    holes["part"] = SpecTemplate::hole();
    json hints = {{"preset", variant.resolved.preset}, {"switches", variant.resolved.switches}};
    std::string cost_class = fmt::format("evaluate/{}/{}/{}", variant.resolved.method,
                                         backbone_and_size(variant), variant.eval_size);
    EncodeJobs& encode = encode_jobs(variant, variant.resolved.features);
    return {.variant = std::move(variant),
            .hints = std::move(hints),
            .evaluate = SpecTemplate(holes),
            .cost_class = std::move(cost_class),
            .encode = &encode};
  }

  std::vector<SeedGroup> seed_groups(const Sweep& sweep) const {
    const std::vector<std::int64_t>& seeds = sweep.seeds ? *sweep.seeds : study_.seeds;
    std::size_t size = 1;
    if (sweep.ensemble) {
      size = sweep.ensemble->n == 0 ? seeds.size() : static_cast<std::size_t>(sweep.ensemble->n);
    }
    std::vector<SeedGroup> groups;
    for (auto seed = seeds.begin(); seed != seeds.end();
         seed += static_cast<std::ptrdiff_t>(size)) {
      groups.emplace_back(seed, seed + static_cast<std::ptrdiff_t>(size));
    }
    return groups;
  }

  std::vector<Level> levels_of(const Variant& variant, const std::string& target) const {
    const auto sets = [&](const ByName<std::vector<std::string>>& train_on) {
      return &auxiliary_sets(study_, train_on, variant, target);
    };
    if (!study_.train_on_pixel) return {{"", sets(study_.train_on)}};
    const Level image{"image", sets(study_.train_on)}, pixel{"pixel", sets(*study_.train_on_pixel)};
    if (*image.sets == *pixel.sets) return {{"", image.sets}};
    return {image, pixel};
  }

  /// On one target: for each row the trainings of `seeds`, and what they say together.
  void add_trained(std::vector<Row>& rows,
                   const Manifest& images,
                   const Level& level,
                   const SeedGroup& seeds,
                   bool on_train = false) {
    std::vector<std::string> before(seeds.size());  // Of the row with fewer epochs.
    for (Row& row : rows) {
      Training& training = training_of(row, *level.sets);
      std::vector<std::string> checkpoints;
      for (std::size_t i = 0; i < seeds.size(); ++i) {
        checkpoints.push_back(add_train(training, seeds[i], before[i]));
      }
      before = checkpoints;
      StudyCell& cell =
          add_cell(row, {&images, &training, on_train}, seeds, std::move(checkpoints));
      cell.level = level.name;
      cell.epoch = row.epoch;
    }
  }

  /// The auxiliary sets as targets, for curves.
  void add_on_train(std::vector<Row>& rows, const SeedGroup& seeds) {
    std::set<std::string> added;
    for (const std::string& target : study_.targets) {
      for (const Level& level : levels_of(rows.back().variant, target)) {
        for (const std::string& set : *level.sets) {
          const std::string key = fmt::format("{} {}", set, fmt::join(*level.sets, "+"));
          if (!added.insert(key).second) continue;
          add_trained(rows, test_images(inputs_, set), {"", level.sets}, seeds, /*on_train=*/true);
        }
      }
    }
  }

  StudyCell& add_cell(Row& row,
                      const Judged& judged,
                      const SeedGroup& seeds,
                      std::vector<std::string> checkpoints) {
    auto known = row.cells.find(judged);
    if (known == row.cells.end()) {
      known = row.cells.emplace(judged, describe_cell(row.variant, judged)).first;
    }
    StudyCell cell = known->second;
    if (!seeds.empty()) cell.seed = seeds.front();
    if (seeds.size() > 1) {
      json protocol = *cell.protocol;
      protocol["ensemble_seeds"] = seeds;
      cell.protocol = std::move(protocol);
    }
    cell.job = add_evaluate(row, *judged.images, std::move(checkpoints));
    if (cell.overlap > 0) note_overlap(cell, *judged.training, *judged.images);
    return plan_.cells.emplace_back(std::move(cell));
  }

  StudyCell describe_cell(const Variant& variant, const Judged& judged) {
    const Manifest& test = *judged.images;
    StudyCell cell{.method = variant.resolved.method,
                   .preset = variant.resolved.preset,
                   .params = variant.params,
                   .dataset = test.dataset,
                   .eval_size = variant.eval_size,
                   .on_train = judged.on_train};
    json protocol = {{"backbone", variant.backbone->name},
                     {"image_size", variant.image_size},
                     {"eval_size", variant.eval_size},
                     {"data_profile", counts_text(test)},
                     {"train_sets", "none"}};
    if (!variant.resolved.notes.empty()) protocol["notes"] = variant.resolved.notes;
    const std::string of_scores = precision(JobKind::kEvaluate);
    if (of_scores != kDefaultPrecision) protocol["precision"] = of_scores;
    if (!test.skipped.empty()) protocol["skipped"] = test.skipped;
    const json& switches = variant.resolved.switches;
    if (switches.contains("infer.sigma")) protocol["sigma"] = switches["infer.sigma"];
    if (judged.training != nullptr) {
      const TrainingSet& training = judged.training->set;
      if (!judged.on_train) cell.overlap = overlap(training, test);
      cell.train_dataset = fmt::format("{}", fmt::join(training.sets, "+"));
      protocol["train_sets"] = cell.train_dataset;
      protocol["train_split"] = training.split;
      protocol["epochs"] = switches.at("train.epochs");
    }
    cell.protocol = std::move(protocol);
    return cell;
  }

  EncoderSpec encoder(const Variant& variant, const FeatureSpec& features) {
    return encoder_spec(variant, features, precision(JobKind::kEncode), inputs_);
  }

  std::string precision(JobKind kind) const { return precision_of(study_, kind); }

  std::string add_evaluate(Row& row, const Manifest& images, std::vector<std::string> checkpoints) {
    Job job{.kind = JobKind::kEvaluate,
            .shared_hints = row.hints,
            .dependencies = {add_encode(*row.encode, images)},
            .cost_class = row.cost_class,
            .work = num_images(images) *
                    static_cast<double>(std::max<std::size_t>(checkpoints.size(), 1)),
            .bytes = num_images(images) * 4 * (patches(row.variant) + 1)};
    job.dependencies.insert(job.dependencies.end(), checkpoints.begin(), checkpoints.end());
    std::ranges::sort(checkpoints);
    std::string judged = "\"\"";
    if (row.variant.params.contains("ensemble")) {
      judged = json(checkpoints).dump();
    } else if (!checkpoints.empty()) {
      judged = '"' + checkpoints.front() + '"';
    }
    job.spec_text = row.evaluate.fill({std::move(judged), part_text(images)});
    return add(std::move(job));
  }

  EncodeJobs& encode_jobs(const Variant& variant, const FeatureSpec& features) {
    const auto key = std::pair(variant.backbone, to_json(features).dump());
    const auto known = encode_jobs_.find(key);
    if (known != encode_jobs_.end()) return known->second;
    json holes = to_json(EncodeSpec{.encoder = encoder(variant, features)});
    holes["part"] = SpecTemplate::hole();
    return encode_jobs_
        .emplace(key, EncodeJobs{SpecTemplate(holes), "encode/" + backbone_and_size(variant),
                                 feature_bytes(variant, features)})
        .first->second;
  }

  std::string add_encode(EncodeJobs& jobs, const Manifest& images) {
    std::string& id = jobs.by_part[&images];
    if (!id.empty()) return id;
    id = add({.kind = JobKind::kEncode,
              .spec_text = jobs.spec.fill({part_text(images)}),
              .cost_class = jobs.cost_class,
              .work = num_images(images),
              .bytes = num_images(images) * jobs.bytes_per_image});
    return id;
  }

  Training& training_of(Row& row, const std::vector<std::string>& sets) {
    const auto known = row.trainings.find(sets);
    if (known != row.trainings.end()) return known->second;
    const Variant& variant = row.variant;
    TrainingSet training = training_set(study_, variant, sets, inputs_);
    check_masks(study_, variant, training);
    const json& switches = variant.resolved.switches;
    // These have fields of their own; the split is in the parts.
    std::vector<std::string> elsewhere = {"train.split", "train.epochs", "train.batch", "train.lr"};
    for (std::string& idle : idle_switches(training)) elsewhere.push_back(std::move(idle));
    TrainSpec spec{.method = variant.resolved.method,
                   .switches = without(variant.resolved.training, elsewhere),
                   .encoder = encoder(variant, variant.resolved.training_features),
                   .epochs = switches.at("train.epochs"),
                   .precision = precision(JobKind::kTrain)};
    Job common{.kind = JobKind::kTrain,
               .shared_hints = row.hints,
               .cost_class =
                   fmt::format("train/{}/{}", variant.resolved.method, backbone_and_size(variant)),
               .work = static_cast<double>(training.num_images() * spec.epochs),
               .bytes = 4.0 * static_cast<double>(variant.resolved.parameters.trained)};
    if (spec.epochs > 0) {  // Else neither images nor their order nor the rate matter.
      spec.batch = switches.at("train.batch");
      spec.learning_rate = switches.at("train.lr");
      for (const Manifest* part : training.parts) {
        spec.parts.push_back(part_of(*part));
        common.dependencies.push_back(
            add_encode(encode_jobs(variant, spec.encoder.features), *part));
      }
    }
    json holes = to_json(spec);
    holes["seed"] = SpecTemplate::hole();
    return row.trainings
        .emplace(sets, Training{std::move(training), SpecTemplate(holes), std::move(common)})
        .first->second;
  }

  std::string add_train(Training& training, std::int64_t seed, const std::string& before) {
    std::string& id = training.by_seed[seed];
    if (!id.empty()) return id;
    Job job = training.common;
    job.spec_text = training.spec.fill({std::to_string(seed)});
    id = add(std::move(job));
    if (!before.empty()) go_on_from(before, id);
    return id;
  }

  /// Where both train at all, and the shorter one comes first anyway.
  void go_on_from(const std::string& shorter, const std::string& longer) {
    Job &from = plan_.jobs[ids_.at(shorter)], &to = plan_.jobs[ids_.at(longer)];
    if (from.work == 0 || !to.continues.empty() || ids_.at(shorter) >= ids_.at(longer)) return;
    from.keeps_state = true;
    to.continues = shorter;
    to.dependencies.push_back(shorter);
  }

  std::string add(Job job) {
    job.spec_text.write_to(spec_buffer_);
    job.id = sha256(spec_buffer_);
    std::string id = job.id;
    if (ids_.emplace(id, plan_.jobs.size()).second) plan_.jobs.push_back(std::move(job));
    return id;
  }

  std::int64_t overlap(const TrainingSet& training, const Manifest& test) {
    const auto key = std::pair(training.parts, &test);
    const auto known = overlaps_.find(key);
    if (known != overlaps_.end()) return known->second;
    return overlaps_.emplace(key, count_overlap(study_, training, test)).first->second;
  }

  DatasetPart part_of(const Manifest& manifest) {
    std::string& digest = digests_[&manifest];
    if (digest.empty()) digest = manifest_digest(manifest);
    return dataset_part(manifest, digest);
  }

  const std::string& part_text(const Manifest& manifest) {
    std::string& text = part_texts_[&manifest];
    if (text.empty()) text = canonical_json(to_json(part_of(manifest)));
    return text;
  }

  void note_overlap(const StudyCell& cell, const Training& training, const Manifest& test) {
    if (!noted_overlaps_.insert({&test, training.set.parts}).second) return;
    note(fmt::format(
        "{} of the {} images of target {} are also in its "
        "training set {}: its cells are marked",
        cell.overlap, test.samples.size(), test.dataset, fmt::join(training.set.sets, "+")));
  }

  void note(const std::string& text) {
    if (std::ranges::find(plan_.notes, text) == plan_.notes.end()) plan_.notes.push_back(text);
  }

  static std::string label(const Variant& variant) {
    return TableRow{.method = variant.resolved.method,
                    .preset = variant.resolved.preset,
                    .params = variant.params}
        .label();
  }

  const Study& study_;
  PlanInputs& inputs_;
  Plan plan_;
  std::unordered_map<std::string, std::size_t> ids_;  // Index in the plan's jobs.
  std::string spec_buffer_;  // Fresh memory for each of 100,000 specs would cost a tenth of it all.
  std::map<std::pair<const BackboneDescription*, std::string>, EncodeJobs> encode_jobs_;
  std::map<const Manifest*, std::string> digests_, part_texts_;
  std::map<std::pair<std::vector<const Manifest*>, const Manifest*>, std::int64_t> overlaps_;
  std::set<std::pair<const Manifest*, std::vector<const Manifest*>>> noted_overlaps_;
};

}  // namespace

Plan make_plan(const Study& study, PlanInputs& inputs) { return Planner(study, inputs).run(); }

}  // namespace assay
