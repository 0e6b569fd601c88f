#include "tests/evaluator/bench_images.h"

#include "core/random.h"
#include "evaluator/anomaly_map.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

struct Blob {
  double y, x, radius;
};

MaskRuns disc(const Blob& blob) {
  constexpr auto kSize = static_cast<std::int32_t>(BenchImages::kSize);
  MaskRuns mask{.height = kSize, .width = kSize, .runs = {}, .areas = {0}};
  for (std::int32_t y = 0; y < kSize; ++y) {
    const double half =
        std::sqrt(std::max(blob.radius * blob.radius - std::pow(y - blob.y, 2), 0.0));
    const auto first = static_cast<std::int32_t>(std::max(blob.x - half, 0.0));
    const auto last = static_cast<std::int32_t>(std::min(blob.x + half, kSize - 1.0));
    if (half == 0 || first > last) continue;
    mask.runs.push_back({y, first, last, 0});
    mask.areas[0] += last - first + 1;
  }
  return mask;
}

}  // namespace

BenchImages::BenchImages(std::int64_t num_images)
    : grids(at::empty({num_images, kGrid, kGrid}, at::kFloat)),
      pixels(at::empty({num_images, kSize, kSize}, at::kFloat)) {
  const RandomStream random(1, "evaluator_bench");
  for (std::int64_t i = 0; i < num_images; ++i) {
    const auto draw = static_cast<std::uint64_t>(3 * i);
    const Blob blob{random.uniform(draw) * kSize, random.uniform(draw + 1) * kSize,
                    20 + 60 * random.uniform(draw + 2)};
    const bool anomalous = i % 10 < 7;
    masks.push_back(anomalous ? disc(blob) : MaskRuns{kSize, kSize, {}, {}});
    for (std::int64_t token = 0; token < kGrid * kGrid; ++token) {
      const double y = 14.0 * static_cast<double>(token / kGrid) + 7;
      const double x = 14.0 * static_cast<double>(token % kGrid) + 7;
      const double inside =
          anomalous && std::hypot(y - blob.y, x - blob.x) < blob.radius + 5 ? 2 : 0;
      const double logit =
          1.5 * random.normal(static_cast<std::uint64_t>(i * kGrid * kGrid + token)) - 2 + inside;
      grids.mutable_data_ptr<float>()[i * kGrid * kGrid + token] =
          static_cast<float>(1 / (1 + std::exp(-logit)));
    }
  }
  AnomalyMapOperator(kGrid, kSize, 10, kSize).write(grids, pixels);
  for (std::int64_t i = 0; i < num_images; ++i) {
    maps.emplace_back(pixels.const_data_ptr<float>() + i * kSize * kSize, kSize * kSize);
  }
}

}  // namespace assay
