#pragma once

#include "registry/local_loss.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace assay {

// Losses as sums over images (never means), float64 and differentiable (`design.md` 5). Formulas:
// `spec/methods-seeds.md` 1.7.

/// Number of entries of `local_terms`.
inline constexpr std::int64_t kLocalTerms = 3;

/// Sums over the images with a pixel term: FocalA's mean over the pixels of each image, and the
/// fractions (2 sum p G + 1) / (sum p + sum G + 1) of DiceA for the abnormal and the normal
/// channel: float64 [3].
///
/// `probability`: float32 [B, N], abnormal probability per patch; `masks`: uint8 [B, S, S], may be
/// undefined where no image has a pixel term; `has_pixel_term`: bool [B]. Of a loss that is off the
/// sums are 0.
[[nodiscard]] at::Tensor local_terms(const at::Tensor& probability,
                                     const at::Tensor& masks,
                                     const at::Tensor& has_pixel_term,
                                     LocalLosses losses = {});

/// FocalA + DiceA(abnormal) + DiceA(normal), summed over `num_layers` maps, from the totals of
/// `local_terms` over `num_images` images with a pixel term, at least one.
[[nodiscard]] at::Tensor local_loss(const at::Tensor& totals,
                                    double num_images,
                                    std::int64_t num_layers,
                                    bool with_focal,
                                    bool with_dice);

/// Sum of the two-class cross-entropies of `logits` (float64 [B, 2], normal and abnormal) against
/// `labels` (int64 [B]).
[[nodiscard]] at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels);

/// Sum of BFL, (1 - e^-b)^2 b with b the binary cross-entropy of `score` (float64 [B]), which is
/// taken for a logit, or for a probability; b of a probability is at most 100.
[[nodiscard]] at::Tensor image_focal_sum(const at::Tensor& score,
                                         const at::Tensor& labels,
                                         bool score_is_logit);

/// Sum over pairs i < j, or i != j where `ordered`, of |cos(T_i, T_j)| of the rows of `texts`
/// [K, J] (`spec/methods-seeds.md` 3.5, 3.7 row 3). 0 for K = 1.
[[nodiscard]] at::Tensor orthogonality(const at::Tensor& texts, bool ordered);

}  // namespace assay
