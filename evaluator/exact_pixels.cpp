#include "evaluator/exact_pixels.h"

#include "core/threads.h"
#include "evaluator/bin_cells.h"
#include "evaluator/normal_bins.h"

#include <optional>
#include <utility>
#include <vector>

namespace assay {
namespace {

struct AnomalousPixel {
  std::uint32_t key;
  std::uint32_t region;
};

struct AnomalousPixels {
  std::vector<AnomalousPixel> pixels;
  KeyRange range, range_of_all;
};

void gather_anomalous(const CategoryPixels& category,
                      std::size_t image,
                      std::span<const float> map,
                      AnomalousPixels& gathered) {
  for_each_stretch(
      category, image, map, [](std::span<const float>) {},
      [&](std::span<const float> scores, std::uint32_t region) {
        for (const float score : scores) gathered.pixels.push_back({score_key(score), region});
        gathered.range.include(key_range(scores));
      });
}

// Anomalous pixels of one thread by bin: bin b is [begins[b], begins[b + 1]).
struct AnomalousBins {
  std::vector<AnomalousPixel> pixels;
  std::vector<std::size_t> begins;
};

AnomalousBins bin_anomalous(const std::vector<AnomalousPixel>& pixels, const KeyBins& bins) {
  AnomalousBins binned{std::vector<AnomalousPixel>(pixels.size()),
                       std::vector<std::size_t>(bins.num_bins + 2)};
  // Counted one place further on, so that placing moves each begin to where it belongs.
  for (const AnomalousPixel& pixel : pixels) ++binned.begins[bins.bin_of(pixel.key) + 2];
  for (std::size_t b = 1; b < binned.begins.size(); ++b) binned.begins[b] += binned.begins[b - 1];
  for (const AnomalousPixel& pixel : pixels) {
    binned.pixels[binned.begins[bins.bin_of(pixel.key) + 1]++] = pixel;
  }
  return binned;
}

// What one thread has put into the bins.
struct Share {
  AnomalousBins anomalous;
  NormalBins normals;
};

// Samples above a bin.
struct Passed {
  std::int64_t anomalous = 0, normal = 0;
};

// By bin: what has been passed where its walk starts.
std::vector<Passed> passed_above(const std::vector<Share>& shares, std::size_t num_bins) {
  std::vector<Passed> passed(num_bins);
  Passed sum;
  for (const Share& share : shares) sum.normal += share.normals.num_above();
  for (std::size_t bin = num_bins; bin-- > 0;) {
    passed[bin] = sum;
    for (const Share& share : shares) {
      sum.normal += share.normals.num_in(bin);
      sum.anomalous +=
          static_cast<std::int64_t>(share.anomalous.begins[bin + 1] - share.anomalous.begins[bin]);
    }
  }
  return passed;
}

struct Walks {
  ScoreWalk scores;
  AuproWalk aupro;
};

// Walks through one bin.
void walk_bin(const std::vector<Share>& shares,
              std::size_t bin,
              std::uint32_t lowest_key,  // Of the bin.
              const CategoryPixels& category,
              BinCells& cells,
              Walks& walks) {
  for (const Share& share : shares) {
    const AnomalousBins& bins = share.anomalous;
    for (std::size_t i = bins.begins[bin]; i < bins.begins[bin + 1]; ++i) {
      cells.add_anomalous(bins.pixels[i].key - lowest_key, category.weights[bins.pixels[i].region]);
    }
  }
  for (const Share& share : shares) {
    share.normals.for_each_piece(
        bin, [&](std::span<const std::uint16_t> piece) { cells.add_normals(piece); });
  }
  std::int64_t passed = 0;
  cells.drain([&](std::size_t cell, std::int64_t num_anomalous, std::uint64_t weight,
                  std::int64_t normals_above, std::int64_t normals_at) {
    walks.scores.pass_normals(normals_above - passed);
    walks.aupro.pass_normals(normals_above - passed);
    walks.scores.pass_group(lowest_key + static_cast<std::uint32_t>(cell), num_anomalous,
                            normals_at);
    walks.aupro.pass_group(weight, normals_at);
    passed = normals_above + normals_at;
  });
}

}  // namespace

ExactWalks exact_walks(const CategoryPixels& pixels, const PixelOptions& options) {
  const std::size_t num_images = pixels.masks.size();
  const int num_threads = options.num_threads;
  std::vector<AnomalousPixels> gathered(static_cast<std::size_t>(num_threads));
  for_each_item(num_threads, num_images, [&](std::size_t image, int thread) {
    AnomalousPixels& own = gathered[static_cast<std::size_t>(thread)];
    // Of normal images only cflow200 wants to know something beforehand: their range.
    if (pixels.masks[image].runs.empty() && !options.cflow200) return;
    const std::span<const float> map = pixels.map_of(image, thread);
    gather_anomalous(pixels, image, map, own);
    if (options.cflow200) own.range_of_all.include(key_range(map));
  });
  KeyRange anomalous, range_of_all;
  for (const AnomalousPixels& each : gathered) {
    anomalous.include(each.range);
    range_of_all.include(each.range_of_all);
  }

  const KeyBins bins(anomalous.lowest, anomalous.highest);
  std::vector<AnomalousBins> binned(gathered.size());
  on_threads(num_threads, [&](int thread) {
    const auto index = static_cast<std::size_t>(thread);
    binned[index] = bin_anomalous(std::exchange(gathered[index].pixels, {}), bins);
  });
  std::vector<bool> is_occupied(bins.num_bins);
  for (const AnomalousBins& each : binned) {
    for (std::size_t bin = 0; bin < bins.num_bins; ++bin) {
      if (each.begins[bin] < each.begins[bin + 1]) is_occupied[bin] = true;
    }
  }
  std::vector<Share> shares;
  for (AnomalousBins& each : binned) {
    shares.push_back({std::move(each), NormalBins(bins, is_occupied)});
  }
  std::optional<Cflow200Counts> cflow200;
  if (options.cflow200) cflow200.emplace(pixels, range_of_all, num_threads);
  for_each_item(num_threads, num_images, [&](std::size_t image, int thread) {
    const std::span<const float> map = pixels.map_of(image, thread);
    if (cflow200) cflow200->add(image, map, thread);
    NormalBins& normals = shares[static_cast<std::size_t>(thread)].normals;
    for_each_stretch(
        pixels, image, map, [&](std::span<const float> scores) { normals.add(scores); },
        [](std::span<const float>, std::uint32_t) {});
    normals.publish();
  });

  const auto walks_from = [&](const Passed& above) {
    return Walks{
        ScoreWalk(pixels.num_anomalous, pixels.num_normal, above.anomalous, above.normal),
        AuproWalk(pixels.num_normal, pixels.total_weight, options.aupro_limit, above.normal)};
  };
  std::vector<Walks> walks;
  for (const Passed& above : passed_above(shares, bins.num_bins))
    walks.push_back(walks_from(above));
  std::vector<BinCells> cells;
  for (int thread = 0; thread < num_threads; ++thread) cells.emplace_back(bins.shift);
  for_each_item(num_threads, walks.size(), [&](std::size_t bin, int thread) {
    if (!is_occupied[bin]) return;
    walk_bin(shares, bin, bins.lowest_key_of(bin), pixels, cells[static_cast<std::size_t>(thread)],
             walks[bin]);
  });

  Walks all = walks_from({});
  for (std::size_t bin = walks.size(); bin-- > 0;) {
    all.scores.append(walks[bin].scores);
    all.aupro.append(walks[bin].aupro);
  }
  KeyRange range = anomalous;
  for (const Share& share : shares) range.include(share.normals.range());
  return {all.scores, all.aupro, range,
          cflow200 ? cflow200->result() : Cflow200{{}, kCflow200NotAskedFor}};
}

}  // namespace assay
