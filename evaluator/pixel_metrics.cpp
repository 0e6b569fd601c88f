#include "evaluator/category_pixels.h"
#include "evaluator/cflow200.h"
#include "evaluator/metrics.h"
#include "evaluator/normal_bins.h"
#include "evaluator/score_key.h"
#include "evaluator/score_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>

namespace assay {
namespace {

// An anomalous pixel as its key above the lowest one, with its region.
struct AnomalousPixel {
  std::uint32_t offset;
  std::uint32_t region;
};

// Anomalous pixels in the bins of NormalBins: bin b is [begins[b], begins[b + 1]) of `pixels`.
struct AnomalousBins {
  std::vector<AnomalousPixel> pixels;
  std::vector<std::size_t> begins;
};

template <typename Visit>
void for_each_anomalous(const CategoryPixels& category, Visit visit) {
  for (std::size_t i = 0; i < category.maps.size(); ++i) {
    for_each_stretch(
        category, i, [](std::span<const float>) {},
        [&](std::span<const float> scores, std::uint32_t region) {
          for (const float score : scores) visit(score_key(score), region);
        });
  }
}

AnomalousBins bin_anomalous(const CategoryPixels& category,
                            std::uint32_t lowest_key,
                            const NormalBins& normals) {
  AnomalousBins bins;
  bins.pixels.resize(static_cast<std::size_t>(category.num_anomalous));
  bins.begins.resize(normals.num_bins() + 2);
  // Counted one place further on, so that placing moves each begin to where it belongs.
  for_each_anomalous(category, [&](std::uint32_t key, std::uint32_t) {
    ++bins.begins[((key - lowest_key) >> normals.shift()) + 2];
  });
  for (std::size_t b = 1; b < bins.begins.size(); ++b) bins.begins[b] += bins.begins[b - 1];
  for_each_anomalous(category, [&](std::uint32_t key, std::uint32_t region) {
    const std::uint32_t offset = key - lowest_key;
    bins.pixels[bins.begins[(offset >> normals.shift()) + 1]++] = {offset, region};
  });
  return bins;
}

// One bin spread out: a cell for each key.
class BinCells {
 public:
  explicit BinCells(int shift)
      : normal_(std::size_t{1} << shift),
        anomalous_(normal_.size()),
        occupied_((normal_.size() + 63) / 64) {}

  void add_normals(std::span<const std::uint16_t> lower_bits) {
    std::uint32_t* const normal = normal_.data();
    for (const std::uint16_t cell : lower_bits) ++normal[cell];
  }

  void add_anomalous(std::size_t cell, std::uint64_t weight) {
    anomalous_[cell].weight += weight;
    ++anomalous_[cell].count;
    occupied_[cell / 64] |= std::uint64_t{1} << cell % 64;
  }

  // Calls `on_normals(count)` and `on_group(cell, count, weight, num_normal)` from the highest key
  // down, and empties the cells.
  template <typename OnNormals, typename OnGroup>
  void drain(OnNormals on_normals, OnGroup on_group) {
    std::size_t end = normal_.size();
    for (std::size_t word = occupied_.size(); word-- > 0;) {
      while (occupied_[word] != 0) {
        const std::size_t bit = 63 - std::countl_zero(occupied_[word]);
        const std::size_t cell = word * 64 + bit;
        on_normals(take_normals(cell + 1, end));
        on_group(cell, anomalous_[cell].count, anomalous_[cell].weight, normal_[cell]);
        occupied_[word] ^= std::uint64_t{1} << bit;
        anomalous_[cell] = {};
        normal_[cell] = 0;
        end = cell;
      }
    }
    on_normals(take_normals(0, end));
  }

 private:
  struct Anomalous {
    std::uint64_t weight = 0;
    std::uint32_t count = 0;
  };

  std::uint32_t take_normals(std::size_t begin, std::size_t end) {
    std::uint32_t sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      sum += normal_[i];
      normal_[i] = 0;
    }
    return sum;
  }

  std::vector<std::uint32_t> normal_;
  std::vector<Anomalous> anomalous_;
  std::vector<std::uint64_t> occupied_;
};

// `spec/metrics.md` 7.1, with the normal pixels kept as two bytes and no key sorted: a bin is
// spread out over its keys instead.
void exact_metrics(const CategoryPixels& category, double limit, PixelMetrics& metrics) {
  std::uint32_t lowest_key = std::numeric_limits<std::uint32_t>::max(), highest_key = 0;
  for_each_anomalous(category, [&](std::uint32_t key, std::uint32_t) {
    lowest_key = std::min(lowest_key, key);
    highest_key = std::max(highest_key, key);
  });
  NormalBins normals(lowest_key, highest_key);
  for (std::size_t i = 0; i < category.maps.size(); ++i) {
    for_each_stretch(
        category, i, [&](std::span<const float> scores) { normals.add(scores); },
        [](std::span<const float>, std::uint32_t) {});
  }
  const AnomalousBins anomalous = bin_anomalous(category, lowest_key, normals);

  ScoreWalk walk(category.num_anomalous, category.num_normal);
  AuproWalk aupro(category.num_normal, category.total_weight, limit);
  const auto pass_normals = [&](std::int64_t count) {
    walk.pass_normals(count);
    aupro.pass_normals(count);
  };
  pass_normals(normals.num_above());
  BinCells cells(normals.shift());
  for (std::size_t bin = normals.num_bins(); bin-- > 0;) {
    const std::size_t begin = anomalous.begins[bin], end = anomalous.begins[bin + 1];
    if (begin == end) {
      normals.for_each_block(bin, [&](std::span<const std::uint16_t> block) {
        pass_normals(static_cast<std::int64_t>(block.size()));
      });
      continue;
    }
    normals.for_each_block(bin,
                           [&](std::span<const std::uint16_t> block) { cells.add_normals(block); });
    const std::uint32_t first_offset = static_cast<std::uint32_t>(bin) << normals.shift();
    for (std::size_t i = begin; i < end; ++i) {
      const AnomalousPixel& pixel = anomalous.pixels[i];
      cells.add_anomalous(pixel.offset - first_offset, category.weights[pixel.region]);
    }
    cells.drain(pass_normals, [&](std::size_t cell, std::int64_t num_anomalous,
                                  std::uint64_t weight, std::int64_t num_normal) {
      walk.pass_group(lowest_key + first_offset + static_cast<std::uint32_t>(cell), num_anomalous,
                      num_normal);
      aupro.pass_group(weight, num_normal);
    });
  }
  metrics.auroc = walk.auroc();
  metrics.ap = walk.ap();
  metrics.f1max = walk.f1max();
  metrics.f1max_threshold = walk.f1max_threshold();
  metrics.aupro = aupro.aupro();
}

}  // namespace

PixelMetrics pixel_metrics(std::span<const std::span<const float>> maps,
                           std::span<const MaskRuns> masks,
                           const PixelOptions& options) {
  if (!(options.aupro_limit > 0 && options.aupro_limit <= 1)) {
    throw std::invalid_argument(fmt::format(
        "pixel_metrics: aupro_limit is {}, expected a number in (0, 1]", options.aupro_limit));
  }
  const CategoryPixels category = category_pixels(maps, masks);
  PixelMetrics metrics;
  metrics.num_normal = category.num_normal;
  metrics.num_anomalous = category.num_anomalous;
  metrics.num_regions = static_cast<std::int64_t>(category.weights.size());
  if (category.num_anomalous == 0)
    metrics.undefined_because = "no_anomalous_pixels";
  else if (category.num_normal == 0)
    metrics.undefined_because = "no_normal_pixels";
  metrics.cflow200_undefined_because = metrics.undefined_because;
  if (!metrics.undefined_because.empty()) return metrics;

  exact_metrics(category, options.aupro_limit, metrics);
  if (options.cflow200) {
    const Cflow200 cflow = aupro_cflow200(category);
    metrics.aupro_cflow200 = cflow.value;
    metrics.cflow200_undefined_because = cflow.undefined_because;
  } else {
    metrics.cflow200_undefined_because = kCflow200NotAskedFor;
  }
  return metrics;
}

}  // namespace assay
