#include "evaluator/measure.h"

#include "core/error.h"
#include "core/threads.h"
#include "evaluator/category_pixels.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <utility>

namespace assay {
namespace {

class Stopwatch {
 public:
  // Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// A reason of `undefined_because` as a sentence for people who wrote the file.
std::string in_words(const std::string& reason) {
  static const std::map<std::string, std::string> words = {
      {"no_scores", "'score' is missing"},
      {"no_labels", "'label' is missing"},
      {"no_anomalies", "no label is 1"},
      {"no_normals", "no label is 0"},
      {"no_maps", "'map' is missing"},
      {"no_masks", "'mask' is missing"},
      {"no_anomalous_pixels", "no mask has an anomalous pixel (1)"},
      {"no_normal_pixels", "no mask has a normal pixel (0)"}};
  return words.at(reason);
}

ImageMetrics measure_images(const ScoredImages& images) {
  ImageMetrics metrics;
  if (!images.has_scores())
    metrics.undefined_because = "no_scores";
  else if (!images.has_labels())
    metrics.undefined_because = "no_labels";
  else
    metrics = image_metrics(images.scores(), images.labels());
  return metrics;
}

// Where labels and masks contradict each other. `is_anomalous` by mask; empty without masks.
void note_contradictions(const ScoredImages& images,
                         const std::vector<bool>& is_anomalous,
                         Measured& measured) {
  std::vector<std::size_t> marked, empty;  // By the mask, not by the label; the other way round.
  for (std::size_t i = 0; images.has_labels() && i < is_anomalous.size(); ++i) {
    const bool labelled = images.labels()[i] != 0;
    if (!labelled && is_anomalous[i]) marked.push_back(i);
    if (labelled && !is_anomalous[i]) empty.push_back(i);
  }
  measured.metrics.num_empty_masks = std::ssize(empty);
  if (!marked.empty()) {
    measured.warnings.push_back(
        fmt::format("label 0 but anomalous pixels in the mask: {} of {} images, first image {}; "
                    "pixel metrics go by the mask",
                    marked.size(), is_anomalous.size(), marked.front()));
  }
  if (!empty.empty()) {
    measured.warnings.push_back(
        fmt::format("label 1 but an empty mask: {} of {} images, first image {}; their pixels "
                    "count as normal",
                    empty.size(), is_anomalous.size(), empty.front()));
  }
}

// Maps may be the wrong way round; values stay as they are.
void note_direction(const char* level, const std::optional<double>& auroc, Measured& measured) {
  if (!auroc || *auroc >= 0.5) return;
  measured.warnings.push_back(fmt::format(
      "{} AUROC is {:.4f}, worse than chance: higher must mean more anomalous", level, *auroc));
}

// What is known of the masks once each has been looked at.
struct Masks {
  std::vector<MaskRuns> runs;  // None where they are labelled again each time.
  std::vector<bool> is_anomalous;
};

Masks label_masks(const ScoredImages& images, const MeasureOptions& options) {
  Masks masks;
  masks.runs.resize(static_cast<std::size_t>(images.num_images()));
  for_each_item(options.pixel.num_threads, masks.runs.size(), [&](std::size_t image, int) {
    masks.runs[image] = images.labelled_mask(image, options.connectivity);
  });
  for (const MaskRuns& mask : masks.runs) masks.is_anomalous.push_back(!mask.runs.empty());
  return masks;
}

// Two passes over the file, the first one for the range of scores.
BinnedMetrics measure_binned(const ScoredImages& images,
                             const MeasureOptions& options,
                             Masks& masks) {
  const std::vector<std::span<const float>> maps = images.maps();
  const int num_threads = options.pixel.num_threads;
  std::vector<KeyRange> ranges(static_cast<std::size_t>(num_threads));
  for_each_item(num_threads, maps.size(), [&](std::size_t image, int thread) {
    ranges[static_cast<std::size_t>(thread)].include(
        finite_range(maps[image], image, images.width()));
    images.forget(image);
  });
  KeyRange range;
  for (const KeyRange& each : ranges) range.include(each);
  std::vector<BinnedPixels> shares(
      static_cast<std::size_t>(num_threads),
      BinnedPixels(score_of_key(range.lowest), score_of_key(range.highest)));
  std::vector<std::uint8_t> is_anomalous(maps.size());  // Not bool: threads would share bytes.
  for_each_item(num_threads, maps.size(), [&](std::size_t image, int thread) {
    const MaskRuns mask = images.labelled_mask(image, options.connectivity);
    is_anomalous[image] = mask.runs.empty() ? 0 : 1;
    shares[static_cast<std::size_t>(thread)].add(maps[image], mask);
    images.forget(image);
  });
  for (std::size_t share = 1; share < shares.size(); ++share) shares[0].merge(shares[share]);
  masks.is_anomalous.assign(is_anomalous.begin(), is_anomalous.end());
  return shares[0].result(options.pixel.aupro_limit);
}

void measure_pixels(const ScoredImages& images, const MeasureOptions& options, Measured& measured) {
  PixelMetrics& metrics = measured.metrics.pixel;
  const bool is_binned = options.algorithm == PixelAlgorithm::kBinned && images.has_maps();
  const std::int64_t num_pixels = images.num_images() * images.height() * images.width();
  if (!is_binned && num_pixels > std::int64_t{std::numeric_limits<std::uint32_t>::max()}) {
    throw DataError("{} pixels, the exact algorithm counts up to 2^32; use --algorithm binned",
                    num_pixels);
  }
  Masks masks;
  Stopwatch watch;
  if (images.has_masks() && !is_binned) masks = label_masks(images, options);
  measured.seconds_masks = watch.lap();
  if (!images.has_maps() || !images.has_masks()) {
    metrics.undefined_because = images.has_maps() ? "no_masks" : "no_maps";
    metrics.cflow200_undefined_because = metrics.undefined_because;
    measured.aupimo.exact.undefined_because = metrics.undefined_because;
    measured.aupimo.grid.undefined_because = metrics.undefined_because;
    note_contradictions(images, masks.is_anomalous, measured);
    return;
  }
  if (is_binned) {
    const BinnedMetrics binned = measure_binned(images, options, masks);
    metrics = binned.metrics;
    measured.brackets = binned.brackets;
  } else {
    metrics = pixel_metrics(images.maps(), masks.runs, options.pixel);
  }
  measured.seconds_pixels = watch.lap();
  const auto mask_of = [&](std::size_t image) {
    return is_binned ? images.labelled_mask(image, options.connectivity) : masks.runs[image];
  };
  AupimoOptions of_aupimo{.lower = options.aupimo_lower,
                          .upper = options.aupimo_upper,
                          .num_threads = options.pixel.num_threads};
  if (is_binned) of_aupimo.after_image = [&](std::size_t image) { images.forget(image); };
  measured.aupimo = aupimo(images.maps(), masks.is_anomalous, mask_of, of_aupimo);
  measured.seconds_aupimo = watch.lap();
  note_contradictions(images, masks.is_anomalous, measured);
}

}  // namespace

Measured measure(const ScoredImages& images, const MeasureOptions& options) {
  Measured measured;
  CategoryResult& result = measured.metrics;
  result.num_images = images.num_images();
  if (!images.others().empty()) {
    measured.warnings.push_back(
        fmt::format("not used: '{}'; metrics are made of map, mask, score and label",
                    fmt::join(images.others(), "', '")));
  }
  result.image = measure_images(images);
  try {
    measure_pixels(images, options, measured);
  } catch (const DataError& error) {
    throw DataError("{}: {}", images.path(), error.what());
  }
  if (!result.image.undefined_because.empty() && !result.pixel.undefined_because.empty()) {
    throw DataError("{}: no metric is defined: {}, so none of images; {}, so none of pixels",
                    images.path(), in_words(result.image.undefined_because),
                    in_words(result.pixel.undefined_because));
  }
  note_direction("image", result.image.auroc, measured);
  note_direction("pixel", result.pixel.auroc, measured);
  return measured;
}

}  // namespace assay
