#include "evaluator/anomaly_map.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace assay {
namespace {

// scipy.ndimage.gaussian_filter on one float32 map [S, S], literally: axis by axis, sums in double,
// rounded to float32 after each axis; `d c b a | a b c d | d c b a` at the border.
at::Tensor gaussian_filter(const at::Tensor& map, double sigma) {
  const int radius = static_cast<int>(4 * sigma + 0.5), size = static_cast<int>(map.size(0));
  std::vector<double> kernel;
  double sum = 0;
  for (int x = -radius; x <= radius; ++x) {
    kernel.push_back(std::exp(-0.5 / (sigma * sigma) * x * x));
    sum += kernel.back();
  }
  at::Tensor current = map.contiguous();
  for (int axis = 0; axis < 2; ++axis) {
    at::Tensor next = at::empty_like(current);
    const auto in = current.accessor<float, 2>();
    auto out = next.accessor<float, 2>();
    for (int i = 0; i < size; ++i) {
      for (int j = 0; j < size; ++j) {
        double value = 0;
        for (int x = -radius; x <= radius; ++x) {
          int at = (axis == 0 ? i : j) + x;
          while (at < 0 || at >= size) at = at < 0 ? -1 - at : 2 * size - 1 - at;
          value += kernel[x + radius] / sum * (axis == 0 ? in[at][j] : in[i][at]);
        }
        out[i][j] = static_cast<float>(value);
      }
    }
    current = next;
  }
  return current;
}

at::Tensor upsample(const at::Tensor& maps, std::int64_t size) {
  return at::upsample_bilinear2d(maps.unsqueeze(1), {size, size}, /*align_corners=*/false)
      .squeeze(1);
}

at::Tensor random_grids(std::int64_t batch, std::int64_t grid) {
  at::Tensor grids = at::empty({batch, grid, grid}, at::kFloat);
  float* values = grids.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < grids.numel(); ++i) {
    values[i] = static_cast<float>((i * 7919 + i * i * 31) % 1009) / 1009.0F;
  }
  return grids;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() /
         b.abs().max().item<double>();
}

TEST(AnomalyMap, IsUpsamplingFollowedByTheGaussianFilter) {
  for (const double sigma : {0.4, 1.0, 4.0, 8.0}) {
    const at::Tensor grids = random_grids(1, 16);
    const at::Tensor expected = gaussian_filter(upsample(grids, 128)[0], sigma);
    const at::Tensor map = AnomalyMapOperator(16, 128, sigma, 128)(grids)[0];
    EXPECT_LE(relative_difference(map, expected), 2e-7) << "sigma " << sigma;
  }
}

TEST(AnomalyMap, IsTheSameAtTheSizeOfThePapers) {
  const at::Tensor grids = random_grids(1, 37);
  const at::Tensor expected = gaussian_filter(upsample(grids, 518)[0], 10);
  const double difference =
      relative_difference(AnomalyMapOperator(37, 518, 10, 518)(grids)[0], expected);
  EXPECT_LE(difference, 2e-7);
  RecordProperty("relative_difference", std::to_string(difference));
}

TEST(AnomalyMap, ReflectsSeveralTimesWhereTheKernelIsWiderThanTheMap) {
  const at::Tensor grids = random_grids(1, 3);
  const at::Tensor expected = gaussian_filter(upsample(grids, 9)[0], 8);
  EXPECT_LE(relative_difference(AnomalyMapOperator(3, 9, 8, 9)(grids)[0], expected), 2e-7);
}

TEST(AnomalyMap, WithoutSmoothingIsUpsamplingAlone) {
  const at::Tensor grids = random_grids(2, 7);
  EXPECT_LE(relative_difference(AnomalyMapOperator(7, 50, 0, 50)(grids), upsample(grids, 50)),
            2e-7);
}

TEST(AnomalyMap, IsResizedToTheEvaluationSizeAfterSmoothing) {
  const at::Tensor grids = random_grids(1, 8);
  const at::Tensor smoothed = gaussian_filter(upsample(grids, 64)[0], 3).unsqueeze(0);
  for (const std::int64_t eval_size : {32, 100}) {
    const at::Tensor map = AnomalyMapOperator(8, 64, 3, eval_size)(grids);
    EXPECT_LE(relative_difference(map, upsample(smoothed, eval_size)), 3e-7) << eval_size;
  }
}

TEST(AnomalyMap, HasTheSameBitsInEveryBatch) {
  at::set_num_threads(1);
  const at::Tensor grids = random_grids(5, 37);
  const AnomalyMapOperator to_maps(37, 518, 4, 259);  // Odd: maps of a batch are unaligned.
  const at::Tensor maps = to_maps(grids);
  for (std::int64_t i = 0; i < 5; ++i) {
    const at::Tensor alone = to_maps(grids.slice(0, i, i + 1));
    EXPECT_EQ(std::memcmp(alone.const_data_ptr(), maps[i].const_data_ptr(), alone.nbytes()), 0);
  }
}

TEST(AnomalyMap, OfAnEmptyBatchIsEmpty) {
  EXPECT_EQ(AnomalyMapOperator(4, 16, 1, 16)(at::empty({0, 4, 4}, at::kFloat)).sizes(),
            (std::vector<std::int64_t>{0, 16, 16}));
}

TEST(AnomalyMap, RefusesGridsOfAnotherSize) {
  EXPECT_THROW((void)AnomalyMapOperator(4, 16, 1, 16)(random_grids(1, 5)), std::invalid_argument);
  EXPECT_THROW(AnomalyMapOperator(4, 16, -1, 16), std::invalid_argument);
}

}  // namespace
}  // namespace assay
