#include "registry/methods/clip.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace assay {
namespace {

// The prompt with every `[cls]` replaced; the word stays as it is, underscores too.
std::string filled(std::string prompt, const std::string& word) {
  constexpr std::string_view kSlot = "[cls]";
  for (auto at = prompt.find(kSlot); at != std::string::npos;
       at = prompt.find(kSlot, at + word.size())) {
    prompt.replace(at, kSlot.size(), word);
  }
  return prompt;
}

}  // namespace

RawClip::RawClip(const MethodContext& context)
    : clip_(context.clip),
      tokenizer_(context.tokenizer),
      normal_(context.resolved.switches.at("prompts.normal")),
      abnormal_(context.resolved.switches.at("prompts.abnormal")),
      activation_(context.resolved.switches.at("vis.activation")),
      temperature_(context.resolved.switches.at("text.temperature")),
      image_size_(context.resolved.features.image_size),
      literal_(context.literal),
      texts_([this](const std::string& word) { return unit(encode_category(word)); }) {}

TextPair RawClip::encode_category(const std::string& word) const {
  const auto encode = [&](const std::string& prompt) {
    const at::Tensor ids = at::tensor(tokenizer_.encode_prompt(filled(prompt, word)), at::kLong);
    return clip_.encode_texts(ids.unsqueeze(0), activation_);
  };
  return {encode(normal_), encode(abnormal_)};
}

at::Tensor RawClip::terms(std::span<const at::Tensor> /*shared*/, const Batch& /*batch*/) const {
  throw std::logic_error("clip is not trained");
}

at::Tensor RawClip::loss(const at::Tensor& /*totals*/,
                         std::span<const at::Tensor> /*shared*/) const {
  throw std::logic_error("clip is not trained");
}

void RawClip::prepare_inference() {}

Prediction RawClip::predict(const Batch& batch) const {
  const at::NoGradGuard no_grad;
  const TextPair texts = texts_(batch.category_words);
  const at::Tensor maps =  // [B, 1, N]
      at::sigmoid(patch_logits(batch.patch_features, texts, temperature_, literal_));
  const at::Tensor score =
      abnormal_probability(image_logits(batch.global, texts, temperature_)).to(at::kFloat);
  return {.image_score = score,
          .map_grid = literal_ ? literal_map(maps, image_size_) : as_grid(maps.select(1, 0))};
}

std::unique_ptr<Method> make_clip(const MethodContext& context, std::uint64_t /*seed*/) {
  return std::make_unique<RawClip>(context);
}

}  // namespace assay
