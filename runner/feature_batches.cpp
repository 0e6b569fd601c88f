#include "runner/feature_batches.h"

#include <ATen/ATen.h>

namespace assay {
namespace {

const Sample& sample_of(const FeatureSet& set, std::int64_t image) {
  return set.manifest().samples.at(static_cast<std::size_t>(image));
}

/// Collects single images into one batch.
class BatchBuilder {
 public:
  explicit BatchBuilder(const ClassWords& words) : words_(words) {}

  void add(const FeatureSet& set, std::int64_t image) {
    const FeatureRecord record = set.record(image);
    patch_.push_back(record.patch);
    norms_.push_back(record.norm);
    global_.push_back(record.global);
    batch_.category_words.push_back(
        class_word(set.manifest().dataset, sample_of(set, image).category, words_));
  }

  Batch build(at::Device device) {
    // Half the bytes travel to the device.
    batch_.patch_features = at::stack(patch_).to(device).to(at::kFloat);
    batch_.patch_norms = at::stack(norms_);
    batch_.global = at::stack(global_);
    return batch_.to(device);
  }

 private:
  const ClassWords& words_;
  Batch batch_;
  std::vector<at::Tensor> patch_, norms_, global_;
};

}  // namespace

FeatureBatches::FeatureBatches(std::vector<TrainingPart> parts,
                               std::int64_t mask_size,
                               bool image_terms,
                               ClassWords words,
                               at::Device device)
    : parts_(std::move(parts)),
      mask_size_(mask_size),
      image_terms_(image_terms),
      words_(std::move(words)),
      device_(device) {
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    for (std::int64_t i = 0; i < parts_[part].features->size(); ++i) places_.push_back({part, i});
  }
}

std::int64_t FeatureBatches::size() const { return static_cast<std::int64_t>(places_.size()); }

Batch FeatureBatches::load(std::span<const std::int64_t> indices) const {
  BatchBuilder builder(words_);
  const auto count = static_cast<std::int64_t>(indices.size());
  const at::Tensor labels = at::zeros({count}, at::kLong);
  const at::Tensor has_pixel_term = at::zeros({count}, at::kBool);
  at::Tensor masks;
  for (std::int64_t i = 0; i < count; ++i) {
    const Place place = places_.at(static_cast<std::size_t>(indices[static_cast<std::size_t>(i)]));
    const TrainingPart& part = parts_[place.part];
    builder.add(*part.features, place.image);
    labels[i] = sample_of(*part.features, place.image).label;
    if (part.masks == nullptr) continue;
    if (!masks.defined()) masks = at::zeros({count, mask_size_, mask_size_}, at::kByte);
    has_pixel_term[i] = true;
    const MaskRuns& runs = part.masks->at(static_cast<std::size_t>(place.image));
    fill_mask(runs, {masks[i].data_ptr<std::uint8_t>(),
                     static_cast<std::size_t>(mask_size_ * mask_size_)});
  }
  Batch batch = builder.build(device_);
  batch.labels = labels;
  batch.masks = masks;
  batch.has_pixel_term = has_pixel_term;
  batch.has_image_terms = image_terms_;
  return batch.to(device_);
}

std::string FeatureBatches::describe(std::int64_t index) const {
  const Place place = places_.at(static_cast<std::size_t>(index));
  const FeatureSet& set = *parts_[place.part].features;
  return set.manifest().dataset + "/" + sample_of(set, place.image).path;
}

Batch inference_batch(const FeatureSet& set,
                      std::span<const std::int64_t> images,
                      const ClassWords& words,
                      at::Device device) {
  BatchBuilder builder(words);
  for (const std::int64_t image : images) builder.add(set, image);
  return builder.build(device);
}

ClassWords class_words(const nlohmann::json& switches) {
  ClassWords words;
  const nlohmann::json value = switches.value("prompt.words", nlohmann::json("default"));
  words.readable = value == "readable";
  if (value.is_object()) value.get_to(words.given);
  return words;
}

}  // namespace assay
