#pragma once

#include <ATen/core/Tensor.h>

namespace assay {

/// Columns of `local_sums`.
enum LocalSum : std::int64_t { kFocal, kAbnormal, kOverlap, kMask, kLocalSums };

/// The local losses that are on, and whether they are computed as the released code does.
struct LocalLosses {
  bool focal = true, dice = true;
  bool literal = false;
};

/// What the local losses need of each map, from its patches alone.
///
/// `probability`: float32 [B, g * g], abnormal probability per patch in [0, 1]; `masks`: uint8
/// [B, S, S] of 0 and 1. With P the map upsampled bilinearly (align_corners = false) to
/// S x S and G the mask, returns float64 [B, 4]:
///
///   mean over pixels of -(1 - p_t)^2 ln p_t, p_t = (1 - 2e-5) (G P + (1 - G) (1 - P)) + 2e-5
///   (FocalA, `spec/methods-seeds.md` 1.7); sum of P; sum of P G; sum of G.
///
/// The normal channel is 1 - P, upsampled too (3.10, R11). On a CPU no S x S map is stored;
/// differentiable in `probability`, there once. What only a loss that is off would need is not
/// computed: 0. Throws std::invalid_argument on other shapes or types.
[[nodiscard]] at::Tensor local_sums(const at::Tensor& probability,
                                    const at::Tensor& masks,
                                    LocalLosses losses = {});

/// The same from whole maps, in float32 but for the sums: on any device.
[[nodiscard]] at::Tensor local_sums_of_maps(const at::Tensor& probability,
                                            const at::Tensor& masks,
                                            LocalLosses losses = {});

}  // namespace assay
