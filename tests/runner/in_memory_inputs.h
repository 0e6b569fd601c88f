#pragma once

#include "core/digest.h"
#include "runner/plan.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace assay {

/// Data sets that exist in memory alone: an image's content is its name.
class InMemory final : public PlanInputs {
 public:
  InMemory() {
    add("synth-a", "train", {"a/1 0", "a/2 0"});
    add("synth-a", "test", {"a/3 0", "a/4 1", "a/5 1"});
    add("synth-b", "test", {"b/1 0", "b/2 1"});
    add("elpv", "test", {"e/1 0", "e/2 1"}, /*has_masks=*/false);
    add("isic", "test", {"i/1 1", "i/2 1"});
  }

  /// `images` as `path label`.
  void add(const std::string& dataset,
           const std::string& split,
           const std::vector<std::string>& images,
           bool has_masks = true) {
    Manifest manifest;
    manifest.dataset = dataset;
    manifest.split = split;
    manifest.has_masks = has_masks;
    for (const std::string& image : images) {
      Sample sample;
      sample.path = image.substr(0, image.size() - 2);
      sample.category = "c";
      sample.label = image.back() - '0';
      sample.sha256 = sha256(sample.path);
      manifest.samples.push_back(sample);
    }
    manifests_[{dataset, split}] = manifest;
  }

  const Manifest& manifest(const std::string& dataset, const std::string& split) override {
    Manifest& found = manifests_[{dataset, split}];
    found.dataset = dataset;
    found.split = split;
    return found;
  }
  std::string weights_sha256(const BackboneDescription& backbone) override {
    return sha256(backbone.name);
  }
  [[nodiscard]] Machine machine() const override { return {"cpu", "here", "build"}; }

 private:
  std::map<std::pair<std::string, std::string>, Manifest> manifests_;
};

}  // namespace assay
