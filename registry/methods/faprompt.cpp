#include "registry/methods/faprompt.h"

#include "registry/losses.h"
#include "registry/parameters.h"

#include <ATen/ATen.h>

namespace assay {
namespace {

// Mean of un-normalised embeddings [.., K, J] -> [.., J]; of one prompt its embedding itself, so
// that K = 1 without a prior is AnomalyCLIP bit for bit (spec/ablations.md 2.1).
at::Tensor prototype(const at::Tensor& texts) {
  return texts.size(-2) == 1 ? texts.select(-2, 0) : texts.mean(-2);
}

// Where the prefix begins in shared_terms().
constexpr std::size_t kPrefix = 2;

}  // namespace

FaPrompt::Switches FaPrompt::parse(const MethodContext& context) {
  const nlohmann::json& switches = context.resolved.switches;
  Switches parsed{};
  parsed.image_size = context.resolved.features.image_size;
  parsed.literal = context.literal;
  switches.at("cap.K").get_to(parsed.prompts);
  switches.at("cap.E").get_to(parsed.normal_tokens);
  switches.at("cap.Ep").get_to(parsed.abnormal_tokens);
  parsed.compound_shared = switches.at("cap.compound") == "shared";
  switches.at("dap.enabled").get_to(parsed.dap);
  parsed.top_patches = switches.at("dap.select") == "topm";
  switches.at("dap.unit_tokens").get_to(parsed.unit_tokens);
  switches.at("dap.M").get_to(parsed.patches);
  switches.at("loss.oc_weight").get_to(parsed.oc_weight);
  parsed.oc_ordered = switches.at("loss.oc_pairs") == "ordered";
  switches.at("loss.prior_weight").get_to(parsed.prior_weight);
  parsed.prior_mean = switches.at("loss.prior_reduce") == "mean";
  switches.at("loss.local_weights").at(0).get_to(parsed.base_weight);
  switches.at("loss.local_weights").at(1).get_to(parsed.refined_weight);
  switches.at("loss.ce_weight").get_to(parsed.ce_weight);
  switches.at("loss.focal_weight").get_to(parsed.focal_weight);
  parsed.focal_logit = switches.at("loss.focal_input") == "logit";
  switches.at("score.max_weight").get_to(parsed.max_weight);
  switches.at("score.max_mix").at(0).get_to(parsed.base_max);
  switches.at("score.max_mix").at(1).get_to(parsed.refined_max);
  switches.at("text.temperature").get_to(parsed.temperature);
  if (!parsed.dap) {  // There is no pass 2; its maximum is that of the base map.
    parsed.refined_weight = parsed.prior_weight = 0;
    parsed.base_max += parsed.refined_max;
    parsed.refined_max = 0;
  }
  return parsed;
}

FaPrompt::FaPrompt(const MethodContext& context, std::uint64_t seed)
    : switches_(parse(context)), text_(context, seed) {
  const auto word = context.resolved.switches.at("cap.suffix_word").get<std::string>();
  normal_words_ = text_.embed_words("object.");
  abnormal_words_ = text_.embed_words(word.empty() ? "object." : word + " object.");
  add_parameters(context, seed);

  term_names_ = {"images", "pixel_images"};
  const auto add_terms = [&](double weight, std::initializer_list<const char*> names) {
    if (weight != 0) term_names_.insert(term_names_.end(), names.begin(), names.end());
  };
  add_terms(switches_.base_weight, {"focal_base", "dice_abnormal_base", "dice_normal_base"});
  add_terms(switches_.refined_weight,
            {"focal_refined", "dice_abnormal_refined", "dice_normal_refined"});
  add_terms(switches_.ce_weight, {"cross_entropy"});
  add_terms(switches_.focal_weight, {"image_focal"});
  add_terms(switches_.prior_weight, {"prior"});
}

// spec/methods-seeds.md 3.2. What the release registers and never uses is not created.
void FaPrompt::add_parameters(const MethodContext& context, std::uint64_t seed) {
  const std::int64_t width = context.clip.sizes().text_width, joint = context.clip.sizes().joint;
  const auto add = [&](const char* name, const at::Tensor& tensor) {
    parameters_.emplace_back(name, tensor);
    return tensor;
  };
  const auto add_context = [&](const char* name, std::int64_t prompts, std::int64_t tokens) {
    return add(name,
               normal_parameter(seed, name, {1, prompts, tokens, width}, context.clip.device()));
  };
  normal_context_ = add_context("ctx_pos", 1, switches_.normal_tokens);
  abnormal_context_ = add_context("ctx_neg", switches_.prompts, switches_.abnormal_tokens);
  parameters_.insert(parameters_.end(), text_.parameters().begin(), text_.parameters().end());
  if (!switches_.dap) return;
  const std::int64_t in = joint * switches_.patches, hidden = in / 16;
  const auto add_linear = [&](const char* name, at::IntArrayRef shape, std::int64_t fan_in) {
    return add(name, linear_parameter(seed, name, shape, context.clip.device(), fan_in));
  };
  prior_weight_1_ = add_linear("patch_meta_net.linear1.weight", {hidden, in}, in);
  prior_bias_1_ = add_linear("patch_meta_net.linear1.bias", {hidden}, in);
  prior_weight_2_ = add_linear("patch_meta_net.linear2.weight", {width, hidden}, hidden);
  prior_bias_2_ = add_linear("patch_meta_net.linear2.bias", {width}, hidden);
}

// The normal prompt, and abnormality prompts of `abnormal_context` [K, E', T].
LearnedTexts FaPrompt::encode_all(const at::Tensor& abnormal_context) const {
  const at::Tensor normal = normal_context_.squeeze(0);  // [1, E, T]
  const bool compound = switches_.compound_shared;
  return text_.encode_shared(
      compound ? normal[0] : at::Tensor(),
      {{compound ? at::Tensor() : normal, normal_words_}, {abnormal_context, abnormal_words_}});
}

std::vector<at::Tensor> FaPrompt::shared_terms() const {
  const LearnedTexts encoded = encode_all(abnormal_context_.squeeze(0));
  std::vector<at::Tensor> shared = encoded.texts;
  if (switches_.dap) append_tensors(encoded.prefix, shared);
  return shared;
}

// The M patches of the largest scores, descending, ties by raster order; or, as released, the first
// M in raster order (3.7 row 1).
at::Tensor FaPrompt::select_patches(const at::Tensor& base_map) const {
  if (!switches_.top_patches) {
    return at::arange(switches_.patches, base_map.options().dtype(at::kLong))
        .expand({base_map.size(0), -1});
  }
  return std::get<1>(at::sort(base_map.detach(), /*stable=*/true, /*dim=*/1, /*descending=*/true))
      .narrow(1, 0, switches_.patches);
}

// Omega = psi(S), S the chosen patches side by side.
at::Tensor FaPrompt::prior_of(const Batch& batch, const at::Tensor& selected) const {
  const at::Tensor patches = batch.patch_features.select(1, 0).select(1, 0);  // [B, N, J]
  at::Tensor chosen =
      patches.gather(1, selected.unsqueeze(2).expand({-1, -1, patches.size(2)}));  // [B, M, J]
  if (!switches_.unit_tokens) {
    const at::Tensor norms = batch.patch_norms.select(1, 0).select(1, 0);  // [B, N]
    chosen = chosen * norms.gather(1, selected).unsqueeze(2);
  }
  const at::Tensor hidden = at::relu(at::linear(chosen.flatten(1), prior_weight_1_, prior_bias_1_));
  return at::linear(hidden, prior_weight_2_, prior_bias_2_);  // [B, T]
}

// Pass 2: the prior moves every own token of every abnormality prompt (3.4 steps 5 and 6).
at::Tensor FaPrompt::refined_prototypes(std::span<const at::Tensor> shared,
                                        const at::Tensor& prior) const {
  const LearnedPrefix prefix = prefix_from_tensors(
      shared.subspan(kPrefix), switches_.compound_shared ? 1 + switches_.normal_tokens : 1);
  const at::Tensor contexts =
      abnormal_context_ + prior.view({-1, 1, 1, prior.size(1)});  // [B, K, E', T]
  const at::Tensor texts = text_.encode(prefix, {contexts.flatten(0, 1), abnormal_words_});
  return prototype(texts.view({prior.size(0), switches_.prompts, -1}));  // [B, J]
}

// Pass 2 as released: image by image, each time with the normal prompt (3.10, R2 and R5).
TextPair FaPrompt::refined_literally(const at::Tensor& prior) const {
  std::vector<at::Tensor> normal, abnormal;
  for (std::int64_t image = 0; image < prior.size(0); ++image) {
    const std::vector<at::Tensor> texts =
        encode_all(abnormal_context_.squeeze(0) + prior[image]).texts;
    normal.push_back(texts[0]);
    abnormal.push_back(prototype(texts[1]).unsqueeze(0));
  }
  return {at::cat(normal), at::cat(abnormal)};
}

// s = (1 - w) s_g + w (w1 m1 + w2 m2), without pass 2 m1 alone.
at::Tensor FaPrompt::score_of(const Forward& forward) const {
  const at::Tensor global = abnormal_probability(forward.image_logits);
  const double weight = switches_.max_weight;
  if (weight == 0) return global;
  const auto largest = [](const at::Tensor& map) {
    return std::get<0>(map.max(/*dim=*/1)).to(at::kDouble);
  };
  at::Tensor maxima = switches_.base_max * largest(forward.base_map);
  if (forward.refined_map.defined()) {
    maxima = maxima + switches_.refined_max * largest(forward.refined_map);
  }
  return (1 - weight) * global + weight * maxima;
}

FaPrompt::Forward FaPrompt::forward(std::span<const at::Tensor> shared,
                                    const Batch& batch,
                                    bool with_refined) const {
  const auto map = [&](const TextPair& texts) {
    return at::sigmoid(
               patch_logits(batch.patch_features, texts, switches_.temperature, switches_.literal))
        .select(1, 0);
  };
  Forward out;
  out.base_texts = unit(TextPair{shared[0], prototype(shared[1]).unsqueeze(0)});
  out.base_map = map(out.base_texts);
  if (switches_.dap) {
    out.selected = select_patches(out.base_map);
    out.prior = prior_of(batch, out.selected);
  }
  const bool refined = switches_.dap && with_refined;
  if (refined) {
    out.refined_texts = switches_.literal ? unit(refined_literally(out.prior))
                                          : TextPair{out.base_texts.normal,
                                                     unit(refined_prototypes(shared, out.prior))};
    out.refined_map = map(out.refined_texts);
  }
  out.image_logits = image_logits(batch.global, refined ? out.refined_texts : out.base_texts,
                                  switches_.temperature);
  out.score = score_of(out);
  return out;
}

at::Tensor FaPrompt::terms(std::span<const at::Tensor> shared, const Batch& batch) const {
  const bool reads_refined =
      switches_.refined_weight != 0 || switches_.ce_weight != 0 || switches_.focal_weight != 0;
  const Forward out = forward(shared, batch, reads_refined);
  std::vector<at::Tensor> terms = {count_images(batch)};
  const LocalLosses local{.literal = switches_.literal};
  const auto add_image_term = [&](double weight, const auto& sum) {
    if (weight == 0) return;
    terms.push_back(batch.has_image_terms ? sum().unsqueeze(0) : no_sum(batch));
  };
  if (switches_.base_weight != 0) {
    terms.push_back(local_terms(out.base_map, batch.masks, batch.has_pixel_term, local));
  }
  if (switches_.refined_weight != 0) {
    terms.push_back(local_terms(out.refined_map, batch.masks, batch.has_pixel_term, local));
  }
  add_image_term(switches_.ce_weight,
                 [&] { return cross_entropy_sum(out.image_logits, batch.labels); });
  add_image_term(switches_.focal_weight,
                 [&] { return image_focal_sum(out.score, batch.labels, switches_.focal_logit); });
  add_image_term(switches_.prior_weight, [&] {  // Of normal images only.
    const at::Tensor squares = out.prior.to(at::kDouble).square();
    const at::Tensor of_image = switches_.prior_mean ? squares.mean(1) : squares.sum(1);
    return (of_image * batch.labels.eq(0)).sum();
  });
  return at::cat(terms);
}

// spec/methods-seeds.md 3.5, in the order of spec/ablations.md 2.1. Without images a term is 0
// (spec/ablations.md 4.3); the prior is a sum over normal images, not a mean.
at::Tensor FaPrompt::loss(const at::Tensor& totals, std::span<const at::Tensor> shared) const {
  const double images = totals[0].item<double>(), pixel_images = totals[1].item<double>();
  at::Tensor loss = totals.narrow(0, 0, 0).sum();  // 0, and differentiable.
  std::int64_t next = 2;
  for (const double weight : {switches_.base_weight, switches_.refined_weight}) {
    if (weight == 0) continue;
    if (pixel_images > 0) {
      loss = loss + weight * local_loss(totals.narrow(0, next, kLocalTerms), pixel_images,
                                        /*num_layers=*/1, /*with_focal=*/true, /*with_dice=*/true);
    }
    next += kLocalTerms;
  }
  for (const double weight : {switches_.ce_weight, switches_.focal_weight}) {
    if (weight == 0) continue;
    if (images > 0) loss = loss + weight * (totals[next] / images);
    ++next;
  }
  if (switches_.oc_weight != 0) {
    loss = loss +
           switches_.oc_weight * orthogonality(shared[1], switches_.oc_ordered).to(totals.device());
  }
  if (switches_.prior_weight != 0) loss = loss + switches_.prior_weight * totals[next];
  return loss;
}

void FaPrompt::prepare_inference() {
  const at::NoGradGuard no_grad;
  inference_terms_ = shared_terms();
}

// spec/methods-seeds.md 3.6: the map is the mean of both passes' maps.
Prediction FaPrompt::predict(const Batch& batch) const {
  const at::NoGradGuard no_grad;
  const Forward out = forward(inference_terms_, batch);
  if (switches_.literal) {
    std::vector<at::Tensor> maps = {out.base_map};
    if (switches_.dap) maps.push_back(out.refined_map);
    return {.image_score = out.score.to(at::kFloat),
            .map_grid = literal_map(at::stack(maps, 1), switches_.image_size) /
                        static_cast<double>(maps.size())};
  }
  const at::Tensor map = switches_.dap ? (out.base_map + out.refined_map) / 2 : out.base_map;
  return {.image_score = out.score.to(at::kFloat), .map_grid = as_grid(map)};
}

std::unique_ptr<Method> make_faprompt(const MethodContext& context, std::uint64_t seed) {
  return std::make_unique<FaPrompt>(context, seed);
}

}  // namespace assay
