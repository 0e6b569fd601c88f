#pragma once

#include "registry/method.h"
#include "registry/similarity.h"

#include <memory>

namespace assay {

/// CLIP itself with a normal and an abnormal prompt a category, nothing trained
/// (`spec/methods-baselines.md` 4). Features: qk stream, ln_post on every token.
class RawClip final : public Method {
 public:
  explicit RawClip(const MethodContext& context);

  [[nodiscard]] const NamedTensors& parameters() const override { return parameters_; }
  [[nodiscard]] std::vector<at::Tensor> shared_terms() const override { return {}; }
  [[nodiscard]] const std::vector<std::string>& term_names() const override { return term_names_; }
  /// Throws std::logic_error, as `loss` does: there is nothing to train.
  [[nodiscard]] at::Tensor terms(std::span<const at::Tensor> shared,
                                 const Batch& batch) const override;
  [[nodiscard]] at::Tensor loss(const at::Tensor& totals,
                                std::span<const at::Tensor> shared) const override;
  void prepare_inference() override;
  [[nodiscard]] Prediction predict(const Batch& batch) const override;

  /// Text features of one category, not normalised, [1, J] each.
  [[nodiscard]] TextPair encode_category(const std::string& word) const;

 private:
  const Clip& clip_;
  const Tokenizer& tokenizer_;
  std::string normal_, abnormal_, activation_;
  double temperature_;
  std::int64_t image_size_;
  bool literal_;
  NamedTensors parameters_;
  std::vector<std::string> term_names_;
  mutable WordTexts texts_;  // Filled as categories come.
};

/// For the registry; `seed` is not used.
[[nodiscard]] std::unique_ptr<Method> make_clip(const MethodContext& context, std::uint64_t seed);

}  // namespace assay
