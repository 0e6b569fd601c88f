#pragma once

#include "registry/clip.h"
#include "tools/pretrain/batches.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace assay {

/// `assay-tiny`: 8 vision blocks of width 128 on patches of 8 px at 128 px, 4 text blocks of width
/// 64, joint width 64.
[[nodiscard]] ClipSizes tiny_sizes();

/// Random weights of a CLIP, as OpenAI's `initialize_parameters` (clip/model.py) draws them, in
/// both towers.
[[nodiscard]] TensorMap initial_weights(const ClipSizes& sizes, std::uint64_t seed);

/// Adds what only pretraining needs, where it is not there yet: linear read-outs of the Q-K stream,
/// zero at first. `initial_weights` has them; exported weights do not.
void add_probes(TensorMap& weights, const ClipSizes& sizes);

/// Weights of the losses in their sum.
struct LossWeights {
  double contrastive = 1.0, state = 1.0, patch = 1.0, anchor = 1.0, probe = 1.0;
};

/// What is optimised, and what is only looked at.
struct PretrainLosses {
  at::Tensor total;
  double contrastive = 0.0;  ///< Symmetric InfoNCE over the batch.
  double state = 0.0;        ///< Image against pairs of flawless and anomalous texts.
  double patch = 0.0;        ///< V-V patches against the same pairs, by the mask.
  double anchor = 0.0;       ///< Texts' states along a fixed axis.
  double twins = 0.0;        ///< Defective image above its flawless twin, over the state pairs.
  double odd = 0.0;          ///< Image against `normal` and `anomalous`, by its oddness.
  double probe = 0.0;        ///< Q-K patches halfway up, by the mask, read off linearly.
  double retrieval = 0.0;    ///< Share of images nearest to their own caption.
  double state_accuracy = 0.0;
};

/// The losses of one batch; `probes` holds the tensors of `add_probes`. With g the unit global
/// feature, z a unit V-V patch feature and t_n, t_a the unit features of a state pair, they are
/// cross-entropies of
///   exp(logit_scale) g t^T over captions,  and over images;
///   (g t_a - g t_n) / 0.07,  (z t_a - z t_n) / 0.07,  the temperature of the methods
///   (`spec/methods-seeds.md` 1.5);
///   the first of these again for `normal` and `anomalous`, against oddness() (captions.h);
///   that of the states of an image less that of its twin: what tells the two apart is the defect;
///   w h + b with h a standardised Q-K patch halfway up, so that there is something local for the
///   class token to gather.
/// The global feature passes ln_post in even steps and not in odd ones: raw CLIP reads the one,
/// AnomalyCLIP and FAPrompt the other (`spec/methods-seeds.md` 1.2).
[[nodiscard]] PretrainLosses pretrain_losses(const Clip& clip,
                                             const TensorMap& probes,
                                             const PretrainBatch& batch,
                                             const LossWeights& weights);

/// First block with a V-V stream in `assay-tiny`.
inline constexpr std::int64_t kTinyFirstVvBlock = 3;

}  // namespace assay
