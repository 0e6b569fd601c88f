#include "tools/pretrain/tiny_clip.h"

#include "core/random.h"

#include <ATen/ATen.h>

#include <cmath>

namespace assay {
namespace {

constexpr double kTemperature = 0.07;
constexpr double kPatchCovered = 0.2;  // A patch counts as anomalous from this share on.

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, -1, true).clamp_min(1e-6); }

/// Deviation of a tensor's random values; 0 where it starts at zero, -1 where at one.
double initial_deviation(const std::string& name, const ClipSizes& s) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  const bool vision = name.starts_with("visual.");
  const auto width = static_cast<double>(vision ? s.vision_width : s.text_width);
  const auto layers = static_cast<double>(vision ? s.vision_layers : s.text_layers);
  if (has("ln_")) return has("weight") ? -1.0 : 0.0;
  if (has("bias")) return 0.0;
  if (name == "token_embedding.weight") return 0.02;
  if (name == "positional_embedding") return 0.01;
  if (has("conv1")) return 1.0 / std::sqrt(3.0 * static_cast<double>(s.patch * s.patch));
  if (has("c_fc")) return 1.0 / std::sqrt(2.0 * width);
  if (has("out_proj") || has("c_proj")) return 1.0 / std::sqrt(width * 2.0 * layers);
  return 1.0 / std::sqrt(width);
}

/// Mean of the two classes' mean binary cross-entropies, so that few positives weigh as much.
at::Tensor balanced_cross_entropy(const at::Tensor& logits,
                                  const at::Tensor& positive,
                                  const at::Tensor& negative) {
  const at::Tensor on_positive = at::softplus(-logits) * positive;
  const at::Tensor on_negative = at::softplus(logits) * negative;
  return 0.5 * (on_positive.sum() / positive.sum().clamp_min(1.0) +
                on_negative.sum() / negative.sum().clamp_min(1.0));
}

/// Blocks whose Q-K patches are read off linearly: 4 and 6 of 8.
std::vector<std::int64_t> probed_blocks(const ClipSizes& sizes) {
  return {sizes.vision_layers / 2, sizes.vision_layers * 3 / 4};
}

std::string probe_name(std::int64_t block, const char* part) {
  return "probe." + std::to_string(block) + "." + part;
}

/// V-V patches or probed ones against the mask; in between, patches count for neither side.
at::Tensor patch_loss(const at::Tensor& logits, const at::Tensor& share) {
  return balanced_cross_entropy(logits, share.ge(kPatchCovered).to(at::kFloat),
                                share.eq(0).to(at::kFloat));
}

/// `hidden` [L, B, 1 + N, W], the probed `blocks` first.
at::Tensor probe_loss(const at::Tensor& hidden,
                      const std::vector<std::int64_t>& blocks,
                      const TensorMap& probes,
                      const at::Tensor& patch_share) {
  at::Tensor loss = at::zeros({});
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const at::Tensor patches = hidden[static_cast<std::int64_t>(i)].slice(1, 1);  // [B, N, W]
    const at::Tensor logits = at::matmul(at::layer_norm(patches, {patches.size(2)}),
                                         probes.at(probe_name(blocks[i], "weight"))) +
                              probes.at(probe_name(blocks[i], "bias"));
    loss = loss + patch_loss(logits, patch_share) / static_cast<double>(blocks.size());
  }
  return loss;
}

/// Texts against an axis that is fixed from the start: the mean of their own two classes' logistic
/// losses. Without it neither tower has a reason to move first: images learn nothing from texts
/// whose states are not told apart, nor texts from such images (no progress in 500 steps).
at::Tensor anchor_loss(const at::Tensor& texts, const PretrainBatch& batch) {
  const double along = 1.0 / std::sqrt(static_cast<double>(texts.size(1)));  // (1, ..., 1), unit.
  const at::Tensor logits = texts.sum(1) * (along / kTemperature);           // [U]
  const at::Tensor rows = at::cat({batch.caption, batch.state_normal, batch.state_anomalous});
  const at::Tensor zeros = at::zeros(batch.state_normal.sizes());
  const at::Tensor ones = at::ones(batch.state_anomalous.sizes());
  const at::Tensor labels = at::cat({batch.anomalous, zeros, ones});
  const at::Tensor counts = at::cat({batch.of_state_alone, ones, ones});
  return balanced_cross_entropy(logits.index_select(0, rows), labels * counts,
                                (1.0 - labels) * counts);
}

}  // namespace

ClipSizes tiny_sizes() {
  return {.vision_width = 128,
          .vision_layers = 8,
          .patch = 8,
          .native_grid = 16,
          .text_width = 64,
          .text_layers = 4,
          .context = 77,
          .vocabulary = 49408,
          .joint = 64};
}

TensorMap initial_weights(const ClipSizes& sizes, std::uint64_t seed) {
  TensorMap weights;
  for (const auto& [name, shape] : clip_tensors(sizes)) {
    at::Tensor tensor = at::zeros(shape);
    const double deviation = initial_deviation(name, sizes);
    if (name == "logit_scale") {
      tensor.fill_(std::log(1.0 / kTemperature));
    } else if (deviation < 0.0) {
      tensor.fill_(1.0);
    } else if (deviation > 0.0) {
      const RandomStream stream(seed, "initial " + name);
      auto* data = tensor.data_ptr<float>();
      for (std::int64_t i = 0; i < tensor.numel(); ++i) {
        data[i] = static_cast<float>(deviation * stream.normal(static_cast<std::uint64_t>(i)));
      }
    }
    weights.emplace(name, tensor);
  }
  add_probes(weights, sizes);
  return weights;
}

void add_probes(TensorMap& weights, const ClipSizes& sizes) {
  for (const std::int64_t block : probed_blocks(sizes)) {
    weights.emplace(probe_name(block, "weight"), at::zeros({sizes.vision_width}));
    weights.emplace(probe_name(block, "bias"), at::zeros({}));
  }
}

PretrainLosses pretrain_losses(const Clip& clip,
                               const TensorMap& probes,
                               const PretrainBatch& batch,
                               const LossWeights& weights) {
  FeatureSpec spec;
  spec.streams = {"vv"};
  spec.first_block = kTinyFirstVvBlock;
  const std::vector<std::int64_t> probed = probed_blocks(clip.sizes());
  spec.layers = probed;
  spec.layers.push_back(clip.sizes().vision_layers);
  spec.cls_ln_post = batch.step % 2 == 0;
  const VisualFeatures features = clip.encode_images(batch.images, spec, /*with_hidden=*/true);
  const at::Tensor global = unit(features.global);                           // [B, J]
  const at::Tensor patches = unit(features.patch.at("vv")[-1].slice(1, 1));  // [B, N, J]
  const at::Tensor texts = unit(clip.encode_texts(batch.texts));             // [U, J]

  PretrainLosses losses;
  const at::Tensor logits =  // [B, U]
      clip.weights().at("logit_scale").exp() * at::matmul(global, texts.t());
  const at::Tensor own = batch.caption.unsqueeze(1);
  // Only captions of the batch are candidates; the state pairs' texts are true of half of it.
  at::Tensor is_caption = at::zeros({batch.texts.size(0)}, at::kBool);
  is_caption.index_fill_(0, batch.caption, true);
  const at::Tensor among_captions = logits.masked_fill(is_caption.logical_not(), -1e4);
  const at::Tensor image_to_text = -among_captions.log_softmax(1).gather(1, own).mean();
  const at::Tensor text_to_image = -logits.log_softmax(0).gather(1, own).mean();
  const at::Tensor contrastive = 0.5 * (image_to_text + text_to_image);

  const auto between = [&](const at::Tensor& from, const at::Tensor& to) {  // [P, J]
    return (texts.index_select(0, to) - texts.index_select(0, from)) / kTemperature;
  };
  const at::Tensor direction = between(batch.state_normal, batch.state_anomalous);
  const at::Tensor state_logits = at::matmul(global, direction.t());  // [B, P]
  const at::Tensor label = batch.anomalous.unsqueeze(1).expand_as(state_logits);
  const at::Tensor state = balanced_cross_entropy(state_logits, label, 1.0 - label);

  const at::Tensor odd_logits =
      at::matmul(global, between(batch.odd_normal, batch.odd_anomalous).t());  // [B, O]
  const at::Tensor odd = at::binary_cross_entropy_with_logits(
      odd_logits, batch.oddness.unsqueeze(1).expand_as(odd_logits));

  const at::Tensor patch_logits = at::matmul(patches, direction.t());  // [B, N, P]
  const at::Tensor patch =
      patch_loss(patch_logits, batch.patch_share.unsqueeze(2).expand_as(patch_logits));
  const at::Tensor of_twins = state_logits.view({-1, 2, state_logits.size(1)});  // Flawless first.
  const at::Tensor twins = at::softplus(of_twins.select(1, 0) - of_twins.select(1, 1)).mean();
  const at::Tensor probe = probe_loss(features.hidden, probed, probes, batch.patch_share);
  const at::Tensor anchor = anchor_loss(texts, batch);

  losses.total = weights.contrastive * contrastive + weights.state * (state + twins + odd) +
                 weights.patch * patch + weights.anchor * anchor + weights.probe * probe;
  losses.twins = twins.item<double>();
  losses.odd = odd.item<double>();
  losses.probe = probe.item<double>();
  losses.anchor = anchor.item<double>();
  losses.contrastive = contrastive.item<double>();
  losses.state = state.item<double>();
  losses.patch = patch.item<double>();
  losses.retrieval =
      among_captions.detach().argmax(1).eq(batch.caption).to(at::kFloat).mean().item<double>();
  losses.state_accuracy =
      state_logits.detach().gt(0).to(at::kFloat).eq(label).to(at::kFloat).mean().item<double>();
  return losses;
}

}  // namespace assay
