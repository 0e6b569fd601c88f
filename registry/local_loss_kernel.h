#pragma once

#include <cstdint>
#include <vector>

namespace assay {

/// Sums over the pixels of one map (registry/local_loss.h, without the mean).
struct PixelSums {
  double focal = 0, abnormal = 0, overlap = 0, mask = 0;
};

/// Bilinear upsampling (align_corners = false) of one axis of `grid` patches to `size` pixels:
/// pixel i is (1 - weight[i]) * patch[first[i]] + weight[i] * patch[second[i]].
struct BilinearAxis {
  BilinearAxis(std::int64_t grid, std::int64_t size);

  std::int64_t grid, size;
  std::vector<std::int32_t> first, second;
  std::vector<float> weight;
};

/// The sums of one image and, in the same pass, their derivatives with respect to its patches.
/// Plain C++, without LibTorch: written in loops over a row's columns that the compiler vectorises.
class LocalLossKernel {
 public:
  /// `with_focal`: the sum `focal`, else 0; `with_dice`: the others.
  LocalLossKernel(const BilinearAxis& axis, bool with_focal, bool with_dice);

  /// `patches`: grid * grid; `mask`: size * size bytes of 0 and 1, row-major. `d_focal` and
  /// `d_overlap` (grid * grid each, or null) get the derivatives of `focal` and `overlap`; that of
  /// `abnormal` is `d_abnormal()`, whatever the image.
  PixelSums operator()(const float* patches,
                       const std::uint8_t* mask,
                       float* d_focal,
                       float* d_overlap);

  [[nodiscard]] const std::vector<float>& d_abnormal() const { return d_abnormal_; }

 private:
  void spread_rows(const float* patches);
  void gather_columns(const std::vector<float>& rows, float* patches) const;

  const BilinearAxis& axis_;
  bool with_focal_, with_dice_;
  std::vector<float> d_abnormal_;
  std::vector<float> rows_;                         // [grid, size]: patches upsampled along x.
  std::vector<float> row_d_focal_, row_d_overlap_;  // [grid, size]: adjoints, before x.
  std::vector<double> focal_, abnormal_, overlap_;  // [size]: sums of each column.
  std::vector<float> slope_, truth_;                // [size]: of one row of pixels.
};

}  // namespace assay
