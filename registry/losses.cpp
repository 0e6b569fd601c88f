#include "registry/losses.h"

#include <ATen/ATen.h>

#include <cmath>

namespace assay {
namespace {

at::Tensor dice_fraction(const at::Tensor& overlap, const at::Tensor& sizes) {
  return (2 * overlap + 1) / (sizes + 1);
}

/// `local_terms` as the released code computes them: both channels upsampled and kept, the focal
/// loss from a one-hot target, Dice of each channel by itself (3.10, R11 to R13).
at::Tensor literal_terms(const at::Tensor& probability,
                         const at::Tensor& masks,
                         const at::Tensor& has_pixel_term,
                         LocalLosses losses) {
  const std::int64_t batch = masks.size(0), size = masks.size(1);
  const auto grid = std::llround(std::sqrt(static_cast<double>(probability.size(1))));
  const at::Tensor maps =  // [B, 2, S, S]: normal, abnormal.
      at::upsample_bilinear2d(
          at::stack({1 - probability, probability}, 1).view({batch, 2, grid, grid}), {size, size},
          /*align_corners=*/false);
  const at::Tensor truth = masks.to(at::kFloat), targets = at::stack({1 - truth, truth}, 1);
  const at::Tensor counts = has_pixel_term.to(at::kDouble);
  const auto sum_of_images = [&](const at::Tensor& values) {
    return (values.to(at::kDouble) * counts).sum();
  };
  const at::Tensor none = at::zeros({}, counts.options());
  std::vector<at::Tensor> terms = {none, none, none};
  if (losses.focal) {
    const at::Tensor pt = (at::clamp(targets, 1e-5, 1 - 1e-5) * maps).sum(1) + 1e-5;
    terms[0] = sum_of_images((-(1 - pt).square() * pt.log()).mean({1, 2}));
  }
  for (const std::int64_t channel : {1, 0}) {
    if (!losses.dice) break;
    const at::Tensor map = maps.select(1, channel), target = targets.select(1, channel);
    terms[static_cast<std::size_t>(2 - channel)] = sum_of_images(
        dice_fraction((map * target).sum({1, 2}), map.sum({1, 2}) + target.sum({1, 2})));
  }
  return at::stack(terms);
}

// +1 for anomalous, -1 for normal.
at::Tensor signs(const at::Tensor& labels) { return labels.to(at::kDouble) * 2 - 1; }

}  // namespace

at::Tensor local_terms(const at::Tensor& probability,
                       const at::Tensor& masks,
                       const at::Tensor& has_pixel_term,
                       LocalLosses losses) {
  const at::Tensor none = at::zeros({kLocalTerms}, probability.options().dtype(at::kDouble));
  if (!masks.defined()) return none;
  if (losses.literal) return literal_terms(probability, masks, has_pixel_term, losses);
  at::Tensor maps = probability, truth = masks, counts = has_pixel_term.to(at::kDouble);
  if (probability.is_cpu()) {  // Asking a GPU which images count would be waiting for it.
    const at::Tensor chosen = has_pixel_term.nonzero().squeeze(1);
    if (chosen.size(0) == 0) return none;
    maps = maps.index_select(0, chosen);
    truth = truth.index_select(0, chosen);
    counts = counts.index_select(0, chosen);
  }
  const at::Tensor sums = local_sums(maps, truth, losses);
  const at::Tensor focal = (sums.select(1, kFocal) * counts).sum();
  if (!losses.dice) return at::stack({focal, at::zeros_like(focal), at::zeros_like(focal)});
  const double pixels = static_cast<double>(masks.size(1) * masks.size(2));
  const at::Tensor abnormal = sums.select(1, kAbnormal), overlap = sums.select(1, kOverlap),
                   mask = sums.select(1, kMask);
  // The normal channel from the same sums: p_n = 1 - p, G_n = 1 - G (3.10, R12).
  const at::Tensor normal_overlap = pixels - abnormal - mask + overlap;
  return at::stack({focal, (dice_fraction(overlap, abnormal + mask) * counts).sum(),
                    (dice_fraction(normal_overlap, 2 * pixels - abnormal - mask) * counts).sum()});
}

at::Tensor local_loss(const at::Tensor& totals,
                      double num_images,
                      std::int64_t num_layers,
                      bool with_focal,
                      bool with_dice) {
  const at::Tensor means = totals / num_images;
  at::Tensor loss;
  if (with_focal) loss = means[0];
  if (with_dice) {
    const at::Tensor dice = (num_layers - means[1]) + (num_layers - means[2]);
    loss = with_focal ? loss + dice : dice;
  }
  return loss;
}

at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels) {
  const at::Tensor difference = logits.select(1, 1) - logits.select(1, 0);
  return -at::log_sigmoid(signs(labels) * difference).sum();
}

at::Tensor image_focal_sum(const at::Tensor& score, const at::Tensor& labels, bool score_is_logit) {
  const at::Tensor sign = signs(labels);
  const at::Tensor entropy = score_is_logit
                                 ? -at::log_sigmoid(sign * score)
                                 // p_t = s for anomalous images, 1 - s for normal ones.
                                 : at::clamp_max(-((1 - sign) / 2 + sign * score).log(), 100);
  return ((1 - (-entropy).exp()).square() * entropy).sum();
}

at::Tensor orthogonality(const at::Tensor& texts, bool ordered) {
  const at::Tensor units = at::div(texts, texts.norm(2, 1, /*keepdim=*/true)).to(at::kDouble);
  const at::Tensor cosines = at::matmul(units, units.t()).abs();  // [K, K]
  const at::Tensor off_diagonal = cosines.sum() - cosines.diagonal().sum();
  return ordered ? off_diagonal : off_diagonal / 2;
}

}  // namespace assay
