#pragma once

#include "registry/method.h"
#include "registry/methods/learned_text.h"
#include "registry/similarity.h"

#include <memory>
#include <optional>

namespace assay {

/// AnomalyCLIP (Zhou et al., ICLR 2024): two learned prompts, object-agnostic or with the category,
/// deep prompts, local losses on the maps of one or several blocks. Maths and switches:
/// `spec/methods-seeds.md` 2, `spec/ablations.md` 1.3.
class AnomalyClip final : public Method {
 public:
  AnomalyClip(const MethodContext& context, std::uint64_t seed);

  [[nodiscard]] const NamedTensors& parameters() const override { return parameters_; }
  [[nodiscard]] std::vector<at::Tensor> shared_terms() const override;
  [[nodiscard]] const std::vector<std::string>& term_names() const override { return term_names_; }
  [[nodiscard]] at::Tensor terms(std::span<const at::Tensor> shared,
                                 const Batch& batch) const override;
  [[nodiscard]] at::Tensor loss(const at::Tensor& totals,
                                std::span<const at::Tensor> shared) const override;
  void prepare_inference() override;
  void average_texts(const std::vector<std::unique_ptr<Method>>& members) override;
  [[nodiscard]] Prediction predict(const Batch& batch) const override;

  /// Text features that the images of `batch` meet in training, not normalised: [1, J], or [B, J]
  /// with class-aware prompts.
  [[nodiscard]] TextPair training_texts(std::span<const at::Tensor> shared,
                                        const Batch& batch) const;
  /// The same at test; needs `prepare_inference`.
  [[nodiscard]] TextPair test_texts(const Batch& batch) const;

 private:
  struct Switches {
    bool class_aware_train, class_aware_test;
    std::string abnormal_word;
    double temperature, lambda;
    bool global, focal, dice;
    std::int64_t num_layers, image_size;
    bool literal;
    [[nodiscard]] bool local() const { return lambda != 0 && (focal || dice); }
  };

  [[nodiscard]] std::vector<OwnRows> prompts_of(std::string object) const;
  [[nodiscard]] TextPair encode_pair(const LearnedPrefix& prefix, const std::string& object) const;
  [[nodiscard]] TextPair own_test_texts(const Batch& batch) const;  // Not of an ensemble.

  Switches switches_{};
  LearnedText text_;
  NamedTensors parameters_;
  at::Tensor normal_context_, abnormal_context_;  // [1, E, T] each; one tensor where shared.
  std::vector<std::string> term_names_;
  std::optional<TextPair> object_texts_;         // Of inference.
  mutable std::optional<WordTexts> word_texts_;  // Filled as categories come.
  std::vector<const AnomalyClip*> members_;      // Whose texts count instead of these.
};

[[nodiscard]] std::unique_ptr<Method> make_anomalyclip(const MethodContext& context,
                                                       std::uint64_t seed);

}  // namespace assay
