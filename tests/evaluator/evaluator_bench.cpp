// Speed of maps and pixel metrics on one core, in CPU time: `evaluator_bench [images ...]`.
//
// Data as in `spec/metrics.md`: maps of 518 x 518 from 37 x 37 logistic scores, sigma 10, masks
// that cover about 2 % in one or two regions, a third of the images normal.

#include "core/random.h"
#include "evaluator/anomaly_map.h"
#include "evaluator/cflow200.h"
#include "evaluator/metrics.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <string>
#include <vector>

namespace {

using namespace assay;

constexpr std::int64_t kGrid = 37, kSize = 518;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Least of three runs, in seconds.
template <typename Work>
double time_of(Work work) {
  double least = 1e9;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double start = cpu_seconds();
    work();
    least = std::min(least, cpu_seconds() - start);
  }
  return least;
}

struct Blob {
  double y, x, radius;
};

MaskRuns disc(const Blob& blob) {
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

void bench(std::int64_t num_images) {
  const RandomStream random(1, "evaluator_bench");
  at::Tensor grids = at::empty({num_images, kGrid, kGrid}, at::kFloat);
  std::vector<MaskRuns> masks;
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

  const AnomalyMapOperator to_maps(kGrid, kSize, 10, kSize);
  const at::Tensor maps = at::empty({num_images, kSize, kSize}, at::kFloat);
  const double map_seconds = time_of([&] { to_maps.write(grids, maps); });
  std::vector<std::span<const float>> spans;
  for (std::int64_t i = 0; i < num_images; ++i) {
    spans.emplace_back(maps.const_data_ptr<float>() + i * kSize * kSize, kSize * kSize);
  }
  PixelMetrics metrics;
  const double exact = time_of([&] { metrics = pixel_metrics(spans, masks, {.cflow200 = false}); });
  Cflow200 cflow;
  const double cflow_seconds =
      time_of([&] { cflow = aupro_cflow200(category_pixels(spans, masks)); });

  const double megapixels = static_cast<double>(maps.numel()) * 1e-6;
  fmt::print(
      "{:7.2f} Mpx ({:.2f} % anomalous): exact {:4.0f} Mpx/s, cflow200 {:4.0f} Mpx/s, "
      "map {:.3f} ms; auroc {:.5f} ap {:.5f} f1max {:.5f} aupro {:.5f} cflow200 {:.5f}\n",
      megapixels, 1e-4 * static_cast<double>(metrics.num_anomalous) / megapixels,
      megapixels / exact, megapixels / cflow_seconds,
      1e3 * map_seconds / static_cast<double>(num_images), metrics.auroc.value(),
      metrics.ap.value(), metrics.f1max.value(), metrics.aupro.value(), cflow.value.value_or(0));
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  std::vector<std::int64_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::stoll(argv[i]));
  if (sizes.empty()) sizes = {47, 186, 745};  // A quarter, one and four times 50 Mpx.
  for (const std::int64_t num_images : sizes) bench(num_images);
}
