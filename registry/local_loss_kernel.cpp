#include "registry/local_loss_kernel.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace assay {
namespace {

// FocalA softens the one-hot target to [eps, 1 - eps] and adds eps to p_t
// (spec/methods-seeds.md 1.7).
constexpr float kEps = 1e-5F;

// Natural logarithm of x in (0, 1]: Cephes' logf (S. L. Moshier, 1989) without its branches, to
// about one unit in the last place. Unlike std::log it is inlined into vector loops.
inline float log_of(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t exponent = (bits - 0x3F3504F3) >> 23;  // x / 2^exponent is in [0.707, 1.414).
  const auto scale = static_cast<float>(exponent);
  const float f = std::bit_cast<float>(bits - (exponent << 23)) - 1.0F;
  float y = 7.0376836292E-2F;
  y = y * f - 1.1514610310E-1F;
  y = y * f + 1.1676998740E-1F;
  y = y * f - 1.2420140846E-1F;
  y = y * f + 1.4249322787E-1F;
  y = y * f - 1.6668057665E-1F;
  y = y * f + 2.0000714765E-1F;
  y = y * f - 2.4999993993E-1F;
  y = y * f + 3.3333331174E-1F;
  y = y * f * f * f - 2.12194440E-4F * scale - 0.5F * f * f;
  return f + y + 0.693359375F * scale;
}

// One row of pixels between the grid rows `upper` and `lower`: adds to the columns' sums, and
// leaves the focal loss's slope in each P and the mask as numbers.
template <bool kWithFocal, bool kWithDice>
void add_pixel_row(const float* __restrict upper,
                   const float* __restrict lower,
                   float weight,
                   const std::uint8_t* __restrict mask,
                   std::int64_t size,
                   double* __restrict focal,
                   double* __restrict abnormal,
                   double* __restrict overlap,
                   float* __restrict slope,
                   float* __restrict truth) {
  for (std::int64_t x = 0; x < size; ++x) {
    const float g = mask[x];
    const float p = (1.0F - weight) * upper[x] + weight * lower[x];
    if constexpr (kWithFocal) {
      const float sign = 2.0F * g - 1.0F;
      const float pt = (1.0F - 2.0F * kEps) * ((1.0F - g) + sign * p) + 2.0F * kEps;
      const float rest = 1.0F - pt;
      const float log_pt = log_of(pt);
      focal[x] -= static_cast<double>(rest * rest * log_pt);
      slope[x] = (1.0F - 2.0F * kEps) * sign * rest * (2.0F * log_pt - rest / pt);
    }
    if constexpr (kWithDice) {
      abnormal[x] += static_cast<double>(p);
      overlap[x] += static_cast<double>(p * g);
      truth[x] = g;
    }
  }
}

void add_scaled(const float* __restrict row, float scale, std::int64_t size, float* __restrict to) {
  for (std::int64_t x = 0; x < size; ++x) to[x] += scale * row[x];
}

}  // namespace

BilinearAxis::BilinearAxis(std::int64_t grid_size, std::int64_t pixels)
    : grid(grid_size), size(pixels) {
  const double scale = static_cast<double>(grid) / static_cast<double>(size);
  for (std::int64_t i = 0; i < size; ++i) {
    const double source = std::max((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0);
    const auto below = static_cast<std::int32_t>(source);
    first.push_back(below);
    second.push_back(std::min(below + 1, static_cast<std::int32_t>(grid - 1)));
    weight.push_back(static_cast<float>(source - below));
  }
}

LocalLossKernel::LocalLossKernel(const BilinearAxis& axis, bool with_focal, bool with_dice)
    : axis_(axis), with_focal_(with_focal), with_dice_(with_dice) {
  const auto pixels = static_cast<std::size_t>(axis.size);
  const auto cells = static_cast<std::size_t>(axis.grid * axis.size);
  rows_.resize(cells);
  row_d_focal_.resize(cells);
  row_d_overlap_.resize(cells);
  for (auto* columns : {&focal_, &abnormal_, &overlap_}) columns->resize(pixels);
  for (auto* row : {&slope_, &truth_}) row->resize(pixels);

  std::vector<double> share(static_cast<std::size_t>(axis.grid));  // Of each patch in an axis.
  for (std::size_t i = 0; i < pixels; ++i) {
    share[axis.first[i]] += 1.0 - static_cast<double>(axis.weight[i]);
    share[axis.second[i]] += static_cast<double>(axis.weight[i]);
  }
  for (const double row : share) {
    for (const double column : share) d_abnormal_.push_back(static_cast<float>(row * column));
  }
}

void LocalLossKernel::spread_rows(const float* patches) {
  for (std::int64_t row = 0; row < axis_.grid; ++row) {
    const float* from = patches + row * axis_.grid;
    float* to = rows_.data() + row * axis_.size;
    for (std::int64_t x = 0; x < axis_.size; ++x) {
      const float weight = axis_.weight[x];
      to[x] = (1.0F - weight) * from[axis_.first[x]] + weight * from[axis_.second[x]];
    }
  }
}

void LocalLossKernel::gather_columns(const std::vector<float>& rows, float* patches) const {
  std::vector<double> sums(static_cast<std::size_t>(axis_.grid));
  for (std::int64_t row = 0; row < axis_.grid; ++row) {
    std::ranges::fill(sums, 0.0);
    const float* from = rows.data() + row * axis_.size;
    for (std::int64_t x = 0; x < axis_.size; ++x) {
      const double value = static_cast<double>(from[x]);
      const double weight = static_cast<double>(axis_.weight[x]);
      sums[axis_.first[x]] += (1.0 - weight) * value;
      sums[axis_.second[x]] += weight * value;
    }
    std::ranges::transform(sums, patches + row * axis_.grid,
                           [](double sum) { return static_cast<float>(sum); });
  }
}

PixelSums LocalLossKernel::operator()(const float* patches,
                                      const std::uint8_t* mask,
                                      float* d_focal,
                                      float* d_overlap) {
  spread_rows(patches);
  for (auto* columns : {&focal_, &abnormal_, &overlap_}) std::ranges::fill(*columns, 0.0);
  for (auto* rows : {&row_d_focal_, &row_d_overlap_}) std::ranges::fill(*rows, 0.0F);
  const auto add_row = with_focal_ && with_dice_ ? add_pixel_row<true, true>
                       : with_focal_             ? add_pixel_row<true, false>
                                                 : add_pixel_row<false, true>;
  const std::int64_t size = axis_.size;
  for (std::int64_t y = 0; y < size; ++y) {
    const std::int64_t upper = axis_.first[y] * size, lower = axis_.second[y] * size;
    const float weight = axis_.weight[y];
    add_row(rows_.data() + upper, rows_.data() + lower, weight, mask + y * size, size,
            focal_.data(), abnormal_.data(), overlap_.data(), slope_.data(), truth_.data());
    if (d_focal != nullptr) {
      add_scaled(slope_.data(), 1.0F - weight, size, row_d_focal_.data() + upper);
      add_scaled(slope_.data(), weight, size, row_d_focal_.data() + lower);
    }
    if (d_overlap != nullptr) {
      add_scaled(truth_.data(), 1.0F - weight, size, row_d_overlap_.data() + upper);
      add_scaled(truth_.data(), weight, size, row_d_overlap_.data() + lower);
    }
  }
  if (d_focal != nullptr) gather_columns(row_d_focal_, d_focal);
  if (d_overlap != nullptr) gather_columns(row_d_overlap_, d_overlap);
  PixelSums sums;
  sums.focal = std::accumulate(focal_.begin(), focal_.end(), 0.0);
  sums.abnormal = std::accumulate(abnormal_.begin(), abnormal_.end(), 0.0);
  sums.overlap = std::accumulate(overlap_.begin(), overlap_.end(), 0.0);
  if (with_dice_) {
    sums.mask = static_cast<double>(std::accumulate(mask, mask + size * size, std::int64_t{0}));
  }
  return sums;
}

}  // namespace assay
