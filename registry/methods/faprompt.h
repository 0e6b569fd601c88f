#pragma once

#include "registry/method.h"
#include "registry/methods/learned_text.h"
#include "registry/similarity.h"

#include <memory>

namespace assay {

/// FAPrompt (Zhu et al., 2024): K abnormality prompts around one prototype (CAP), moved by a prior
/// from the most abnormal patches of each image (DAP). Maths and switches: `spec/methods-seeds.md`
/// 3; the letters below are its own.
class FaPrompt final : public Method {
 public:
  FaPrompt(const MethodContext& context, std::uint64_t seed);

  [[nodiscard]] const NamedTensors& parameters() const override { return parameters_; }
  /// T_n [1, J], T_i [K, J] of pass 1 and, with DAP, the prefix of the abnormality prompts.
  [[nodiscard]] std::vector<at::Tensor> shared_terms() const override;
  [[nodiscard]] const std::vector<std::string>& term_names() const override { return term_names_; }
  [[nodiscard]] at::Tensor terms(std::span<const at::Tensor> shared,
                                 const Batch& batch) const override;
  [[nodiscard]] at::Tensor loss(const at::Tensor& totals,
                                std::span<const at::Tensor> shared) const override;
  void prepare_inference() override;
  [[nodiscard]] Prediction predict(const Batch& batch) const override;

  /// What 3.4 computes for a batch. Without DAP, or without pass 2, the refined values are
  /// undefined.
  struct Forward {
    TextPair base_texts;      ///< Unit f_n, f_a: [1, J].
    at::Tensor base_map;      ///< s1^a: float32 [B, N].
    at::Tensor selected;      ///< Indices of the M patches: int64 [B, M].
    at::Tensor prior;         ///< Omega: [B, T].
    TextPair refined_texts;   ///< Unit f_n [1, J] (literally [B, J]), refined f_a [B, J].
    at::Tensor refined_map;   ///< s2^a: float32 [B, N].
    at::Tensor image_logits;  ///< h: float64 [B, 2].
    at::Tensor score;         ///< s: float64 [B].
  };
  [[nodiscard]] Forward forward(std::span<const at::Tensor> shared,
                                const Batch& batch,
                                bool with_refined = true) const;

 private:
  struct Switches {
    std::int64_t prompts, normal_tokens, abnormal_tokens;  // K, E, E'
    bool compound_shared, dap, top_patches, unit_tokens;
    std::int64_t patches;  // M
    double oc_weight, prior_weight, base_weight, refined_weight, ce_weight, focal_weight;
    bool oc_ordered, prior_mean, focal_logit;
    double max_weight, base_max, refined_max;
    double temperature;
    std::int64_t image_size;
    bool literal;
  };

  [[nodiscard]] static Switches parse(const MethodContext& context);
  void add_parameters(const MethodContext& context, std::uint64_t seed);
  [[nodiscard]] at::Tensor select_patches(const at::Tensor& base_map) const;
  [[nodiscard]] at::Tensor prior_of(const Batch& batch, const at::Tensor& selected) const;
  [[nodiscard]] at::Tensor refined_prototypes(std::span<const at::Tensor> shared,
                                              const at::Tensor& prior) const;
  [[nodiscard]] LearnedTexts encode_all(const at::Tensor& abnormal_context) const;
  [[nodiscard]] TextPair refined_literally(const at::Tensor& prior) const;
  [[nodiscard]] at::Tensor score_of(const Forward& forward) const;

  Switches switches_;
  LearnedText text_;
  at::Tensor normal_words_, abnormal_words_;      // Fixed rows, end token last: [W, T].
  at::Tensor normal_context_, abnormal_context_;  // V [1, 1, E, T], A [1, K, E', T].
  at::Tensor prior_weight_1_, prior_bias_1_, prior_weight_2_, prior_bias_2_;  // psi.
  NamedTensors parameters_;
  std::vector<std::string> term_names_;
  std::vector<at::Tensor> inference_terms_;  // shared_terms() of inference.
};

[[nodiscard]] std::unique_ptr<Method> make_faprompt(const MethodContext& context,
                                                    std::uint64_t seed);

}  // namespace assay
