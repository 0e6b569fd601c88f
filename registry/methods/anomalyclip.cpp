#include "registry/methods/anomalyclip.h"

#include "registry/losses.h"
#include "registry/parameters.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace assay {

AnomalyClip::AnomalyClip(const MethodContext& context, std::uint64_t seed) : text_(context, seed) {
  const nlohmann::json& values = context.resolved.switches;
  switches_ = {.class_aware_train = values.at("prompt.object_train") == "cls",
               .class_aware_test = values.at("prompt.object_test") == "cls",
               .abnormal_word = values.at("prompt.abnormal_word"),
               .temperature = values.at("text.temperature"),
               .lambda = values.at("loss.lambda"),
               .global = values.at("loss.global"),
               .focal = values.at("loss.focal"),
               .dice = values.at("loss.dice"),
               .num_layers = std::ssize(context.resolved.features.layers),
               .image_size = context.resolved.features.image_size,
               .literal = context.literal};
  const auto add_context = [&](const char* name) {
    const auto length = values.at("prompt.E").get<std::int64_t>();
    parameters_.emplace_back(
        name, normal_parameter(seed, name, {1, 1, length, context.clip.sizes().text_width},
                               context.clip.device()));
    return parameters_.back().second;
  };
  normal_context_ = add_context("ctx_pos");
  abnormal_context_ = values.at("prompt.shared") ? normal_context_ : add_context("ctx_neg");
  parameters_.insert(parameters_.end(), text_.parameters().begin(), text_.parameters().end());

  term_names_ = {"images", "pixel_images"};
  if (switches_.local()) {
    term_names_.insert(term_names_.end(), {"focal", "dice_abnormal", "dice_normal"});
  }
  if (switches_.global) term_names_.emplace_back("cross_entropy");
}

// The start token is all that the two prompts share: `V_1..V_E object .` and
// `W_1..W_E damaged object .`.
std::vector<OwnRows> AnomalyClip::prompts_of(std::string object) const {
  std::ranges::replace(object, '_', ' ');
  const std::string& word = switches_.abnormal_word;
  const std::string anomaly = word.empty() ? object : word + " " + object;
  return {{normal_context_.squeeze(0), text_.embed_words(object + ".")},
          {abnormal_context_.squeeze(0), text_.embed_words(anomaly + ".")}};
}

TextPair AnomalyClip::encode_pair(const LearnedPrefix& prefix, const std::string& object) const {
  const std::vector<OwnRows> prompts = prompts_of(object);
  return {text_.encode(prefix, prompts[0]), text_.encode(prefix, prompts[1])};
}

std::vector<at::Tensor> AnomalyClip::shared_terms() const {
  if (!switches_.class_aware_train) return text_.encode_shared({}, prompts_of("object")).texts;
  std::vector<at::Tensor> shared;
  append_tensors(text_.encode_shared().prefix, shared);
  return shared;
}

TextPair AnomalyClip::training_texts(std::span<const at::Tensor> shared, const Batch& batch) const {
  if (!switches_.class_aware_train) return {shared[0], shared[1]};
  const LearnedPrefix prefix = prefix_from_tensors(shared, /*rows=*/1);
  WordTexts texts([&](const std::string& word) { return encode_pair(prefix, word); });
  return texts(batch.category_words);
}

at::Tensor AnomalyClip::terms(std::span<const at::Tensor> shared, const Batch& batch) const {
  const TextPair texts = unit(training_texts(shared, batch));
  std::vector<at::Tensor> terms = {count_images(batch)};
  if (switches_.local()) {
    const at::Tensor maps =  // [B, L, N]
        at::sigmoid(
            patch_logits(batch.patch_features, texts, switches_.temperature, switches_.literal));
    at::Tensor local;
    for (std::int64_t layer = 0; layer < switches_.num_layers; ++layer) {
      const at::Tensor of_layer = local_terms(
          maps.select(1, layer), batch.masks, batch.has_pixel_term,
          {.focal = switches_.focal, .dice = switches_.dice, .literal = switches_.literal});
      local = local.defined() ? local + of_layer : of_layer;
    }
    terms.push_back(local);
  }
  if (switches_.global) {
    terms.push_back(batch.has_image_terms ? cross_entropy_sum(image_logits(batch.global, texts,
                                                                           switches_.temperature),
                                                              batch.labels)
                                                .unsqueeze(0)
                                          : no_sum(batch));
  }
  return at::cat(terms);
}

// spec/ablations.md 1.3, "True multi-layer". Without images a term is 0 (4.3).
at::Tensor AnomalyClip::loss(const at::Tensor& totals,
                             std::span<const at::Tensor> /*shared*/) const {
  const double images = totals[0].item<double>(), pixel_images = totals[1].item<double>();
  at::Tensor loss = totals.narrow(0, 0, 0).sum();  // 0, and differentiable.
  std::int64_t next = 2;
  if (switches_.local()) {
    if (pixel_images > 0) {
      loss = loss + switches_.lambda * local_loss(totals.narrow(0, next, kLocalTerms), pixel_images,
                                                  switches_.num_layers, switches_.focal,
                                                  switches_.dice);
    }
    next += kLocalTerms;
  }
  if (switches_.global && images > 0) loss = loss + totals[next] / images;
  return loss;
}

void AnomalyClip::prepare_inference() {
  const at::NoGradGuard no_grad;
  if (switches_.class_aware_test) {
    word_texts_.emplace([this, prefix = text_.encode_shared().prefix](const std::string& word) {
      return encode_pair(prefix, word);
    });
  } else {
    const std::vector<at::Tensor> texts = text_.encode_shared({}, prompts_of("object")).texts;
    object_texts_ = {texts[0], texts[1]};
  }
}

void AnomalyClip::average_texts(const std::vector<std::unique_ptr<Method>>& members) {
  members_.clear();
  for (const auto& member : members) {
    members_.push_back(&dynamic_cast<const AnomalyClip&>(*member));
  }
}

TextPair AnomalyClip::test_texts(const Batch& batch) const {
  const at::NoGradGuard no_grad;
  if (members_.empty()) return own_test_texts(batch);
  std::vector<at::Tensor> normal, abnormal;
  for (const AnomalyClip* member : members_) {
    TextPair texts = member->own_test_texts(batch);
    normal.push_back(std::move(texts.normal));
    abnormal.push_back(std::move(texts.abnormal));
  }
  return {at::stack(normal).mean(0), at::stack(abnormal).mean(0)};
}

TextPair AnomalyClip::own_test_texts(const Batch& batch) const {
  return switches_.class_aware_test ? word_texts_.value()(batch.category_words)
                                    : object_texts_.value();
}

// Score of the class token alone; maps of the layers are added (spec/methods-seeds.md 2).
Prediction AnomalyClip::predict(const Batch& batch) const {
  const at::NoGradGuard no_grad;
  const TextPair texts = unit(test_texts(batch));
  const at::Tensor maps =  // [B, L, N]
      at::sigmoid(
          patch_logits(batch.patch_features, texts, switches_.temperature, switches_.literal));
  const at::Tensor score =
      abnormal_probability(image_logits(batch.global, texts, switches_.temperature));
  return {.image_score = score.to(at::kFloat),
          .map_grid =
              switches_.literal ? literal_map(maps, switches_.image_size) : as_grid(maps.sum(1))};
}

std::unique_ptr<Method> make_anomalyclip(const MethodContext& context, std::uint64_t seed) {
  return std::make_unique<AnomalyClip>(context, seed);
}

}  // namespace assay
