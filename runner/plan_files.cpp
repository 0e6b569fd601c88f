#include "core/error.h"
#include "core/nearest_name.h"
#include "datasets/catalogue.h"
#include "runner/plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

namespace assay {

PlanFiles::PlanFiles(const Study& study,
                     std::filesystem::path workspace,
                     std::filesystem::path embedded_weights)
    : study_(study),
      workspace_(std::move(workspace)),
      embedded_weights_(std::move(embedded_weights)) {}

/// A path may be of another split than the one that is loaded, but of some it must be.
void PlanFiles::check_skipped(const std::string& dataset,
                              const std::filesystem::path& root,
                              const std::vector<std::string>& paths) const {
  const Manifest all = load_manifest(dataset, root, "all");
  for (const std::string& path : paths) {
    if (std::ranges::any_of(all.samples, [&](const Sample& s) { return s.path == path; })) continue;
    throw ConfigError(
        "{}: 'skip.{}' has '{}', which is no image below {}; expected a path such as '{}'",
        study_.place("skip"), dataset, path, all.root.string(), all.samples.front().path);
  }
}

/// A name may be that of any folder; where there is none it is a known set's, or misspelt. What the
/// study names already is not what was meant.
void PlanFiles::check_known(const std::string& dataset, const std::filesystem::path& root) const {
  if (std::filesystem::is_directory(root)) return;
  std::vector<std::string> known, candidates;
  for (const DatasetDescription& entry : catalogue()) known.push_back(entry.name);
  if (std::ranges::find(known, dataset) != known.end()) return;  // Its folder is missing.
  const auto is_named = [&](const std::string& name) {
    return study_.places.contains("targets." + name) || study_.places.contains("train_on." + name);
  };
  std::ranges::remove_copy_if(known, std::back_inserter(candidates), is_named);
  const std::string nearest = nearest_name(dataset, candidates);
  const std::string key = std::ranges::count(study_.targets, dataset) > 0 ? "targets" : "train_on";
  const auto place = study_.places.find(key + "." + dataset);
  throw ConfigError(
      "{}'{}' is not a data set{}; known: {}, or a folder with a meta.json or in the layout of "
      "MVTec AD or VisA ({} is not there)",
      place == study_.places.end() ? "" : fmt::format("{}: '{}': ", place->second, key), dataset,
      nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest), fmt::join(known, ", "),
      root.string());
}

const Manifest& PlanFiles::manifest(const std::string& dataset, const std::string& split) {
  const auto key = std::pair(dataset, split);
  const auto known = manifests_.find(key);
  if (known != manifests_.end()) return known->second;
  const std::filesystem::path root = study_.dataset_root(dataset);
  check_known(dataset, root);
  // A set that is all test has no train split: nothing to list, and nothing wrong with that.
  if (split == "train") {
    const Manifest& test = this->manifest(dataset, "test");
    const std::size_t listed = test.samples.size() + test.skipped.size();
    if (load_manifest(dataset, root, "all").samples.size() == listed) {
      Manifest none;
      none.dataset = dataset;
      none.split = split;
      return manifests_.emplace(key, std::move(none)).first->second;
    }
  }
  const auto skip = study_.skip.find(dataset);
  const std::vector<std::string> none;
  const std::vector<std::string>& left_out = skip == study_.skip.end() ? none : skip->second;
  if (!left_out.empty()) check_skipped(dataset, root, left_out);
  Manifest manifest = load_manifest(dataset, root, split, left_out);
  digest_files(manifest, workspace_ / "digests" / (dataset + "." + split + ".json"));
  return manifests_.emplace(key, std::move(manifest)).first->second;
}

std::filesystem::path PlanFiles::weights_path(const BackboneDescription& backbone) const {
  if (backbone.embedded) return embedded_weights_ / backbone.weights_file;
  return study_.weights.value_or(std::filesystem::path("weights")) / backbone.weights_file;
}

std::string PlanFiles::weights_sha256(const BackboneDescription& backbone) {
  const auto known = weights_.find(backbone.name);
  if (known != weights_.end()) return known->second;
  const std::filesystem::path path = weights_path(backbone);
  if (!std::filesystem::is_regular_file(path)) {
    throw DataError("{}: no weights of backbone {} there; {}", path.string(), backbone.name,
                    backbone.embedded ? "they come with the sources: check this out again"
                                      : "put them there, or name their folder in the study: "
                                        "weights = \"FOLDER\"");
  }
  // The same cache as for images: a gigabyte is read once.
  Manifest file;
  file.root = path.parent_path();
  file.samples.emplace_back().path = path.filename().string();
  digest_files(file, workspace_ / "digests" / (backbone.name + ".json"));
  return weights_.emplace(backbone.name, file.samples.front().sha256).first->second;
}

}  // namespace assay
