#include "runner/training_set.h"

#include "core/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

namespace assay {
namespace {

using nlohmann::json;

/// Sets of which no part has masks.
std::vector<std::string> sets_without_masks(const TrainingSet& training) {
  std::vector<std::string> without;
  for (const std::string& set : training.sets) {
    const auto has_masks = [&](const Manifest* part) {
      return part->dataset == set && part->has_masks;
    };
    if (std::ranges::none_of(training.parts, has_masks)) without.push_back(set);
  }
  return without;
}

/// The losses of a variant that compare maps with masks, as its switches name them.
std::vector<std::string> pixel_losses(const json& switches) {
  std::vector<std::string> losses;
  for (const char* name : {"loss.focal", "loss.dice"}) {
    if (switches.value(name, json(false)) == json(true)) losses.emplace_back(name);
  }
  const json weights = switches.value("loss.local_weights", json::array());
  const auto is_on = [](const json& weight) { return weight != 0; };
  if (std::any_of(weights.begin(), weights.end(), is_on)) losses.emplace_back("loss.local_weights");
  return losses;
}

/// Whether an image-level loss is on, whatever the images.
bool has_image_losses(const json& switches) {
  const auto on = [&](const char* name) { return switches.value(name, json(0.0)) != 0.0; };
  return switches.value("loss.global", false) || on("loss.ce_weight") || on("loss.focal_weight");
}

bool has_both_labels(const TrainingSet& training) {
  bool seen[2] = {false, false};
  for (const Manifest* part : training.parts) {
    for (const Sample& sample : part->samples) seen[sample.label] = true;
  }
  return seen[0] && seen[1];
}

/// A sweep's own `train.split`, else the study's, else the preset's (`spec/ablations.md` 4.1).
std::string split_of(const Study& study, const Variant& variant, const std::string& set) {
  if (variant.params.contains("train.split")) return variant.params.at("train.split");
  if (const auto split = study.train_split.find(set)) return *split;
  return variant.resolved.switches.value("train.split", "test");
}

std::string describe_splits(const std::vector<std::string>& sets,
                            const std::vector<std::string>& splits) {
  const auto differs = [&](const std::string& split) { return split != splits.front(); };
  if (std::ranges::none_of(splits, differs)) return splits.front();
  std::vector<std::string> each;
  for (std::size_t i = 0; i < sets.size(); ++i) each.push_back(sets[i] + ": " + splits[i]);
  return fmt::format("{}", fmt::join(each, ", "));
}

}  // namespace

std::int64_t TrainingSet::num_images() const {
  std::int64_t count = 0;
  for (const Manifest* part : parts) count += static_cast<std::int64_t>(part->samples.size());
  return count;
}

const std::vector<std::string>& auxiliary_sets(const Study& study,
                                               const ByName<std::vector<std::string>>& train_on,
                                               const Variant& variant,
                                               const std::string& target) {
  const std::vector<std::string>* sets = train_on.get(target);
  if (sets == nullptr) {
    throw ConfigError(
        "{}: {} is trained, but 'train_on' names no set for target '{}'; add "
        "train_on = \"SET\"",
        study.place("train_on"), variant.resolved.method, target);
  }
  const bool own = std::ranges::find(*sets, target) != sets->end();
  if (own && !train_on.has_entry(target) && !study.allow_overlap) {
    throw ConfigError(
        "{}: target '{}' is its own training set; give it an entry of its own: "
        "train_on = {{ default = \"{}\", {} = \"ANOTHER SET\" }}",
        study.place("train_on"), target, fmt::join(*sets, "+"), target);
  }
  return *sets;
}

TrainingSet training_set(const Study& study,
                         const Variant& variant,
                         const std::vector<std::string>& sets,
                         PlanInputs& inputs) {
  TrainingSet training{.sets = sets, .split = {}, .parts = {}};
  std::vector<std::string> splits;
  for (const std::string& set : sets) {
    splits.push_back(split_of(study, variant, set));
    for (const char* split : {"test", "train"}) {
      if (splits.back() == "test" && std::string_view(split) == "train") continue;
      const Manifest& part = inputs.manifest(set, split);
      if (!part.samples.empty()) training.parts.push_back(&part);
    }
  }
  training.split = describe_splits(training.sets, splits);
  if (training.parts.empty()) {
    throw DataError("{}: training set {} has no images", study.place("train_on"),
                    fmt::join(sets, "+"));
  }
  return training;
}

void check_masks(const Study& study, const Variant& variant, const TrainingSet& training) {
  const json& switches = variant.resolved.effective;
  if (switches.at("train.epochs") == 0) return;
  const std::vector<std::string> without = sets_without_masks(training);
  const std::vector<std::string> losses = pixel_losses(switches);
  const std::string name = variant.resolved.method + ":" + variant.resolved.preset;
  if (!without.empty() && !losses.empty() && !variant.params.contains("train.no_mask")) {
    throw ConfigError(
        "{}: data set '{}' has no masks, and {} of {} needs them; train on another "
        "set, or say in the sweep what its images are to the pixel losses: "
        "grid = {{ \"train.no_mask\" = [\"skip\"] }}",
        study.place("train_on"), fmt::join(without, ", "), fmt::join(losses, ", "), name);
  }
  const bool pixel_terms = !losses.empty() && (without.size() < training.sets.size() ||
                                               switches.value("train.no_mask", "skip") == "zero");
  const bool image_terms =
      has_image_losses(switches) &&
      (has_both_labels(training) || switches.value("train.image_terms", "auto") == "on");
  if (!pixel_terms && !image_terms) {
    throw ConfigError(
        "{}: nothing to learn for {} from {}: it has neither masks for a pixel loss nor both image "
        "labels for an image loss",
        study.place("train_on"), name, fmt::join(training.sets, "+"));
  }
}

std::vector<std::string> idle_switches(const TrainingSet& training) {
  std::vector<std::string> idle;
  if (sets_without_masks(training).empty()) idle.emplace_back("train.no_mask");
  if (has_both_labels(training)) idle.emplace_back("train.image_terms");
  return idle;
}

std::int64_t count_overlap(const Study& study,
                           const TrainingSet& training,
                           const Manifest& target) {
  std::unordered_set<std::string> contents;
  for (const Manifest* part : training.parts) {
    for (const Sample& sample : part->samples) contents.insert(sample.sha256);
  }
  std::int64_t count = 0;
  const Sample* first = nullptr;
  for (const Sample& sample : target.samples) {
    if (!contents.contains(sample.sha256)) continue;
    if (first == nullptr) first = &sample;
    ++count;
  }
  if (count > 0 && !study.allow_overlap) {
    throw ConfigError(
        "{}: {} of the {} images of target '{}' are also in its training set {} "
        "(the first: {}); train on other images, or set allow_overlap = true, which "
        "marks these cells",
        study.place("train_on"), count, target.samples.size(), target.dataset,
        fmt::join(training.sets, "+"), first->path);
  }
  return count;
}

}  // namespace assay
