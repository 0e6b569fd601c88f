#pragma once

#include "datasets/catalogue.h"
#include "datasets/mask_runs.h"
#include "registry/method.h"
#include "runner/feature_set.h"
#include "trainer/train.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// Images of a batch that is predicted at once. Depends on nothing, so that neither do the bits.
inline constexpr std::int64_t kPredictImages = 8;

/// A set and its labelled masks at the training size; `masks` is null where the set's images have
/// no pixel term.
struct TrainingPart {
  std::shared_ptr<const FeatureSet> features;
  std::shared_ptr<const std::vector<MaskRuns>> masks;
};

/// The auxiliary sets of a training as one list (`spec/ablations.md` 4).
class FeatureBatches final : public BatchSource {
 public:
  /// `mask_size` is the side of the masks in pixels; batches come on `device`.
  FeatureBatches(std::vector<TrainingPart> parts,
                 std::int64_t mask_size,
                 bool image_terms,
                 ClassWords words,
                 at::Device device = at::kCPU);

  [[nodiscard]] std::int64_t size() const override;
  [[nodiscard]] Batch load(std::span<const std::int64_t> indices) const override;
  [[nodiscard]] std::string describe(std::int64_t index) const override;

 private:
  struct Place {
    std::size_t part;
    std::int64_t image;
  };
  std::vector<TrainingPart> parts_;
  std::int64_t mask_size_;
  bool image_terms_;
  ClassWords words_;
  at::Device device_;
  std::vector<Place> places_;  // By index.
};

/// Features, on `device`, and class words of some images of a set, for inference.
[[nodiscard]] Batch inference_batch(const FeatureSet& set,
                                    std::span<const std::int64_t> images,
                                    const ClassWords& words,
                                    at::Device device = at::kCPU);

/// The switch `prompt.words` of a job, by default where the method has none.
[[nodiscard]] ClassWords class_words(const nlohmann::json& switches);

}  // namespace assay
