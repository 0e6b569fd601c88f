// Speed of maps and pixel metrics, and memory of an evaluation (tools/bench.sh).
//
// Each at a quarter of, at and at four times 50 million pixels. `literal` is the plain computation:
// everything sorted, everything compared with each threshold, a filter of 81 taps.

#include "evaluator/anomaly_map.h"
#include "evaluator/aupimo.h"
#include "evaluator/binned_pixels.h"
#include "evaluator/category_pixels.h"
#include "evaluator/cflow200.h"
#include "evaluator/evaluate.h"
#include "evaluator/metrics.h"
#include "registry/safetensors.h"
#include "tests/evaluator/bench_images.h"
#include "tests/evaluator/oracles.h"
#include "tests/support/bench.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

namespace assay {
namespace {

constexpr std::int64_t kImages = 186;  // 50 million pixels.

const BenchImages& images_of(std::int64_t count) {
  static std::map<std::int64_t, BenchImages> images;
  auto found = images.find(count);
  if (found == images.end()) found = images.emplace(count, count).first;
  return found->second;
}

void exact(benchmark::State& state, const BenchImages& images, int num_threads) {
  for (auto iteration : state) {
    benchmark::DoNotOptimize(
        pixel_metrics(images.maps, images.masks, {.cflow200 = false, .num_threads = num_threads}));
  }
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

void binned(benchmark::State& state, const BenchImages& images) {
  for (auto iteration : state) {
    BinnedPixels pixels(0, 1);
    for (std::size_t i = 0; i < images.maps.size(); ++i)
      pixels.add(images.maps[i], images.masks[i]);
    benchmark::DoNotOptimize(pixels.result(0.3));
  }
}

KeyRange range_of(const BenchImages& images) {
  KeyRange range;
  for (std::size_t i = 0; i < images.maps.size(); ++i) {
    range.include(finite_range(images.maps[i], i, BenchImages::kSize));
  }
  return range;
}

void cflow200(benchmark::State& state, const BenchImages& images) {
  for (auto iteration : state) {
    const CategoryPixels pixels = category_pixels(images.maps, images.masks);
    Cflow200Counts counts(pixels, range_of(images), /*num_threads=*/1);
    for (std::size_t i = 0; i < images.maps.size(); ++i) counts.add(i, images.maps[i], 0);
    benchmark::DoNotOptimize(counts.result());
  }
}

void cflow200_literal(benchmark::State& state, const BenchImages& images) {
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
}

void aupimo_exact_and_grid(benchmark::State& state, const BenchImages& images) {
  std::vector<bool> is_anomalous;
  for (const MaskRuns& mask : images.masks) is_anomalous.push_back(!mask.runs.empty());
  for (auto iteration : state) {
    benchmark::DoNotOptimize(
        aupimo(images.maps, is_anomalous, [&](std::size_t i) { return images.masks[i]; }));
  }
}

void label(benchmark::State& state, const BenchImages& images) {
  std::vector<std::uint8_t> bytes(BenchImages::kSize * BenchImages::kSize);
  fill_mask(images.masks[0], bytes);
  for (auto iteration : state) {
    for (std::size_t i = 0; i < images.masks.size(); ++i) {
      benchmark::DoNotOptimize(label_mask(bytes, BenchImages::kSize, BenchImages::kSize));
    }
  }
}

void map(benchmark::State& state, const BenchImages& images) {
  const AnomalyMapOperator to_maps(BenchImages::kGrid, BenchImages::kSize, 10, BenchImages::kSize);
  const at::Tensor out = at::ones_like(images.pixels);  // Memory that is there.
  for (auto iteration : state) to_maps.write(images.grids, out);
}

// Upsampling, then 81 taps along each axis, as SciPy's gaussian_filter with sigma 10.
void map_literal(benchmark::State& state, const BenchImages& images) {
  constexpr std::int64_t kRadius = 40, kSize = BenchImages::kSize;
  const at::Tensor taps =
      (at::arange(-kRadius, kRadius + 1).to(at::kFloat).square() / (-2.0 * 10 * 10)).exp();
  const at::Tensor kernel = (taps / taps.sum()).view({1, 1, 1, -1});
  for (auto iteration : state) {
    for (std::int64_t i = 0; i < images.grids.size(0); ++i) {
      at::Tensor map = at::upsample_bilinear2d(images.grids[i].view({1, 1, BenchImages::kGrid, -1}),
                                               {kSize, kSize}, /*align_corners=*/false);
      for (int axis = 0; axis < 2; ++axis) {
        const at::Tensor wide = at::cat({map.narrow(3, 0, kRadius).flip(3), map,
                                         map.narrow(3, kSize - kRadius, kRadius).flip(3)},
                                        3);
        map = at::conv2d(wide, kernel).transpose(2, 3).contiguous();
      }
      benchmark::DoNotOptimize(map);
    }
  }
}

// Peak memory of evaluating `categories` of 32 images each, in maps of one category.
void evaluation_memory(benchmark::State& state, std::int64_t categories) {
  constexpr std::int64_t kOfCategory = 32;
  const BenchImages& images = images_of(kOfCategory);
  EvaluationTruth truth;
  for (std::int64_t i = 0; i < categories * kOfCategory; ++i) {
    truth.names.push_back(std::to_string(i));
    truth.categories.push_back(std::to_string(i / kOfCategory));
    truth.masks.push_back(images.masks[i % kOfCategory]);
    truth.labels.push_back(truth.masks.back().runs.empty() ? 0 : 1);
  }
  const ImagePredictions predictions{at::rand({categories * kOfCategory}),
                                     images.grids.repeat({categories, 1, 1})};
  const EvaluateOptions options;
  SingleCommunicator comm;
  double bytes = 0;
  for (auto iteration : state) {
    bytes = peak_growth_bytes(
        [&] { benchmark::DoNotOptimize(evaluate(predictions, truth, options, comm)); });
  }
  state.counters["ratio"] = bytes / (images.num_pixels() * sizeof(float));
}

void binned_memory(benchmark::State& state, const BenchImages& images) {
  double bytes = 0;
  for (auto iteration : state) {
    bytes = peak_growth_bytes([&] {
      BinnedPixels pixels(0, 1);
      for (std::size_t i = 0; i < images.maps.size(); ++i)
        pixels.add(images.maps[i], images.masks[i]);
      benchmark::DoNotOptimize(pixels.result(0.3));
    });
  }
  state.counters["ratio"] = bytes * 1e-6;
}

// The maps and masks that `exact` sees, for programs of others.
void write_images(const std::filesystem::path& path) {
  const BenchImages& images = images_of(kImages);
  const at::Tensor masks = at::empty(images.pixels.sizes(), at::kByte);
  constexpr std::size_t kPixels = BenchImages::kSize * BenchImages::kSize;
  for (std::size_t i = 0; i < images.masks.size(); ++i) {
    fill_mask(images.masks[i], {masks.mutable_data_ptr<std::uint8_t>() + i * kPixels, kPixels});
  }
  write_safetensors(path, {{{"map", images.pixels}, {"mask", masks}}, {}});
}

void register_all(BenchScale scale) {
  if (const char* path = std::getenv("ASSAY_BENCH_IMAGES")) write_images(path);
  using Run = std::function<void(benchmark::State&, const BenchImages&)>;
  const auto add = [](const std::string& name, int threads, int repetitions, std::int64_t count,
                      const Run& run) {
    add_bench(name, threads, repetitions, [=](benchmark::State& state) {
      const BenchImages& images = images_of(count);
      run(state, images);
      set_units(state, images.num_pixels());
    });
  };
  std::vector<std::pair<const char*, std::int64_t>> sizes = {{"/quarter", kImages / 4},
                                                             {"/one", kImages}};
  if (scale != BenchScale::kQuick) sizes.emplace_back("/four", kImages * 4);
  for (const auto& [size, count] : sizes) {
    const auto add_size = [&](const std::string& name, int threads, const Run& run) {
      add(name + size, threads, 5, count, run);
    };
    add_size("exact", 1, [](auto& state, const auto& images) { exact(state, images, 1); });
    add_size("exact_two_threads", 2,
             [](auto& state, const auto& images) { exact(state, images, 2); });
    add_size("binned", 1, binned);
    add_size("cflow200", 1, cflow200);
    add_size("aupimo", 1, aupimo_exact_and_grid);
    add_size("label", 1, label);
    add_size("binned_memory", 1, binned_memory);
    add_bench("map" + std::string(size), 1, 5, [count = count](benchmark::State& state) {
      map(state, images_of(count));
      set_units(state, static_cast<double>(count));
    });
  }
  for (const auto& [size, categories] : {std::pair("/quarter", 2), {"/one", 8}, {"/four", 32}}) {
    if (scale == BenchScale::kQuick && categories > 8) continue;
    add_bench("evaluation_memory" + std::string(size), 1, 1,
              [=](benchmark::State& state) { evaluation_memory(state, categories); });
  }
  const auto sorted = [](auto& state, const auto& images) {
    for (auto iteration : state) benchmark::DoNotOptimize(sorted_metrics(images));
  };
  for (const char* name : {"exact/literal", "binned/literal"}) add(name, 1, 3, kImages / 4, sorted);
  add("cflow200/literal", 1, 1, 2, cflow200_literal);  // 6 ns a pixel and threshold.
  add_bench("map/literal", 1, 3, [](benchmark::State& state) {
    map_literal(state, images_of(2));
    set_units(state, 2);
  });
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) { return assay::bench_main(argc, argv, assay::register_all); }
