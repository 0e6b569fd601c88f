#include "core/error.h"
#include "runner/plan.h"

namespace assay {

PlanFiles::PlanFiles(const Study& study,
                     std::filesystem::path workspace,
                     std::filesystem::path embedded_weights)
    : study_(study),
      workspace_(std::move(workspace)),
      embedded_weights_(std::move(embedded_weights)) {}

const Manifest& PlanFiles::manifest(const std::string& dataset, const std::string& split) {
  const auto key = std::pair(dataset, split);
  const auto known = manifests_.find(key);
  if (known != manifests_.end()) return known->second;
  const std::filesystem::path root = study_.dataset_root(dataset);
  // A set that is all test has no train split: nothing to list, and nothing wrong with that.
  if (split == "train" && load_manifest(dataset, root, "all").samples.size() ==
                              this->manifest(dataset, "test").samples.size()) {
    Manifest none;
    none.dataset = dataset;
    none.split = split;
    return manifests_.emplace(key, std::move(none)).first->second;
  }
  Manifest manifest = load_manifest(dataset, root, split);
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
