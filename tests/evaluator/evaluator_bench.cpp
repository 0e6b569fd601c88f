// Speed of maps and pixel metrics: `evaluator_bench [--benchmark_format=json]`.
//
// Each at a quarter of, at and at four times 50 million pixels, in CPU time a pixel, so that others
// on the core do not count; of two threads in wall time, where they do. Best of five: `..._best`.
// `.../literal` is the plain computation: everything sorted, or everything compared with each
// threshold.

#include "evaluator/anomaly_map.h"
#include "evaluator/aupimo.h"
#include "evaluator/binned_pixels.h"
#include "evaluator/category_pixels.h"
#include "evaluator/cflow200.h"
#include "evaluator/metrics.h"
#include "tests/evaluator/bench_images.h"
#include "tests/evaluator/oracles.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>

namespace assay {
namespace {

constexpr std::int64_t kImages = 186;  // 50 million pixels.

const BenchImages& images_of(const benchmark::State& state) {
  static std::map<std::int64_t, BenchImages> images;
  const std::int64_t count = state.range(0);
  if (!images.contains(count)) {
    images.clear();  // One size at a time: the largest takes 0.8 GB.
    images.emplace(count, count);
  }
  return images.at(count);
}

// Time over a count: `per_pixel=4.5ns`.
benchmark::Counter time_per(double count) {
  using benchmark::Counter;
  return {count, Counter::kIsIterationInvariantRate | Counter::kInvert};
}

void report(benchmark::State& state, double num_pixels) {
  state.counters["per_pixel"] = time_per(num_pixels);
  state.counters["Mpx"] = num_pixels * 1e-6;
}

void exact(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  const auto num_threads = static_cast<int>(state.range(1));
  for (auto iteration : state) {
    benchmark::DoNotOptimize(
        pixel_metrics(images.maps, images.masks, {.cflow200 = false, .num_threads = num_threads}));
  }
  report(state, images.num_pixels());
}

// AUROC, AP, F1-max and AUPRO from one sort of all pixels.
double sorted_metrics(const BenchImages& images) {
  struct Pixel {
    float score;
    float weight;  // 1 / (R |r|), 0 where normal.
  };
  std::vector<Pixel> pixels;
  pixels.reserve(static_cast<std::size_t>(images.num_pixels()));
  double num_regions = 0, num_anomalous = 0;
  for (const MaskRuns& mask : images.masks) num_regions += static_cast<double>(mask.areas.size());
  for (std::size_t i = 0; i < images.maps.size(); ++i) {
    const std::size_t first = pixels.size();
    for (const float score : images.maps[i]) pixels.push_back({score, 0});
    for (const MaskRun& run : images.masks[i].runs) {
      for (std::int32_t x = run.first; x <= run.last; ++x) {
        const auto area = static_cast<double>(images.masks[i].areas[run.region]);
        pixels[first + static_cast<std::size_t>(run.row * BenchImages::kSize + x)].weight =
            static_cast<float>(1 / (num_regions * area));
        ++num_anomalous;
      }
    }
  }
  std::ranges::sort(pixels, std::greater<>(), &Pixel::score);
  const double num_normal = images.num_pixels() - num_anomalous;
  double tp = 0, fp = 0, pro = 0, auroc = 0, ap = 0, f1max = 0, aupro = 0;
  for (std::size_t first = 0, last = 0; first < pixels.size(); first = last) {
    const double old_tp = tp, old_fp = fp, old_pro = pro;
    for (; last < pixels.size() && pixels[last].score == pixels[first].score; ++last) {
      (pixels[last].weight > 0 ? tp : fp) += 1;
      pro += pixels[last].weight;
    }
    auroc += (fp - old_fp) * (tp + old_tp) / 2;
    ap += (tp - old_tp) * tp / (tp + fp);
    f1max = std::max(f1max, 2 * tp / (num_anomalous + tp + fp));
    if (fp <= 0.3 * num_normal) aupro += (fp - old_fp) * (pro + old_pro) / 2;
  }
  return auroc / num_normal / num_anomalous + ap / num_anomalous + f1max + aupro;
}

void exact_literal(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  for (auto iteration : state) benchmark::DoNotOptimize(sorted_metrics(images));
  report(state, images.num_pixels());
}

void binned(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  for (auto iteration : state) {
    BinnedPixels pixels(0, 1);
    for (std::size_t i = 0; i < images.maps.size(); ++i)
      pixels.add(images.maps[i], images.masks[i]);
    benchmark::DoNotOptimize(pixels.result(0.3));
  }
  report(state, images.num_pixels());
}

KeyRange range_of(const BenchImages& images) {
  KeyRange range;
  for (std::size_t i = 0; i < images.maps.size(); ++i) {
    range.include(finite_range(images.maps[i], i, BenchImages::kSize));
  }
  return range;
}

void cflow200(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  for (auto iteration : state) {
    benchmark::DoNotOptimize(
        aupro_cflow200(category_pixels(images.maps, images.masks), range_of(images)));
  }
  report(state, images.num_pixels());
}

void cflow200_literal(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  std::vector<oracle::PixelImage> literal;
  for (std::size_t i = 0; i < images.maps.size(); ++i) {
    const MaskRuns& mask = images.masks[i];
    literal.push_back({mask.height,
                       mask.width,
                       {images.maps[i].begin(), images.maps[i].end()},
                       oracle::Labels(images.maps[i].size())});
    fill_mask(mask, literal.back().mask);
  }
  for (auto iteration : state) benchmark::DoNotOptimize(oracle::cflow200_literal(literal));
  report(state, images.num_pixels());
}

void aupimo_exact_and_grid(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  std::vector<bool> is_anomalous;
  for (const MaskRuns& mask : images.masks) is_anomalous.push_back(!mask.runs.empty());
  for (auto iteration : state) {
    benchmark::DoNotOptimize(
        aupimo(images.maps, is_anomalous, [&](std::size_t i) { return images.masks[i]; }));
  }
  report(state, images.num_pixels());
}

void label(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  std::vector<std::uint8_t> bytes(BenchImages::kSize * BenchImages::kSize);
  fill_mask(images.masks[0], bytes);
  for (auto iteration : state) {
    for (std::size_t i = 0; i < images.masks.size(); ++i) {
      benchmark::DoNotOptimize(label_mask(bytes, BenchImages::kSize, BenchImages::kSize));
    }
  }
  report(state, images.num_pixels());
}

void map(benchmark::State& state) {
  const BenchImages& images = images_of(state);
  const AnomalyMapOperator to_maps(BenchImages::kGrid, BenchImages::kSize, 10, BenchImages::kSize);
  const at::Tensor out = at::zeros_like(images.pixels);
  out.fill_(1);  // Memory that is there: the kernel's part is not the map's.
  for (auto iteration : state) to_maps.write(images.grids, out);
  report(state, images.num_pixels());
  state.counters["per_map"] = time_per(static_cast<double>(images.maps.size()));
}

double least(const std::vector<double>& values) { return *std::ranges::min_element(values); }

// Once an iteration, best of `repetitions`.
benchmark::internal::Benchmark* best_of(int repetitions, benchmark::internal::Benchmark* bench) {
  return bench->Iterations(1)
      ->Repetitions(repetitions)
      ->ComputeStatistics("best", least)
      ->ReportAggregatesOnly()
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMillisecond);
}

void register_all() {
  for (const std::int64_t images : {kImages / 4, kImages, kImages * 4}) {
    const auto add = [&](const char* name, auto* function) {
      best_of(5, benchmark::RegisterBenchmark(name, function)->Arg(images));
    };
    best_of(5, benchmark::RegisterBenchmark("exact", exact)->Args({images, 1}));
    best_of(5, benchmark::RegisterBenchmark("exact/two_threads", exact)->Args({images, 2}))
        ->UseRealTime();
    add("binned", binned);
    add("cflow200", cflow200);
    add("aupimo", aupimo_exact_and_grid);
    add("label", label);
    add("map", map);
    if (images > kImages) continue;
    best_of(1, benchmark::RegisterBenchmark("exact/literal", exact_literal)->Arg(images));
  }
  // 6 ns a pixel and threshold.
  best_of(1, benchmark::RegisterBenchmark("cflow200/literal", cflow200_literal)->Arg(4));
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  at::set_num_threads(1);
  assay::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
