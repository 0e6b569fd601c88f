#include "evaluator/measure.h"

#include "core/error.h"

#include <algorithm>
#include <chrono>
#include <map>

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

PixelMetrics measure_pixels(const ScoredImages& images,
                            std::span<const MaskRuns> masks,
                            const MeasureOptions& options) {
  PixelMetrics metrics;
  if (!images.has_maps() || !images.has_masks()) {
    metrics.undefined_because = images.has_maps() ? "no_masks" : "no_maps";
    metrics.cflow200_undefined_because = metrics.undefined_because;
    return metrics;
  }
  try {
    return pixel_metrics(images.maps(), masks, options.pixel);
  } catch (const DataError& error) {
    throw DataError("{}: {}", images.path(), error.what());
  }
}

// Labels and masks that contradict each other, and maps that may be the wrong way round.
std::vector<std::string> find_oddities(const ScoredImages& images,
                                       std::span<const MaskRuns> masks,
                                       const CategoryResult& result) {
  std::vector<std::string> warnings;
  std::vector<std::size_t> marked;  // Normal by their label, not by their mask.
  for (std::size_t i = 0; images.has_labels() && i < masks.size(); ++i) {
    if (images.labels()[i] == 0 && !masks[i].runs.empty()) marked.push_back(i);
  }
  if (!marked.empty()) {
    warnings.push_back(
        fmt::format("label 0 but anomalous pixels in the mask: {} of {} images, "
                    "first image {}; pixel metrics go by the mask",
                    marked.size(), masks.size(), marked.front()));
  }
  if (result.num_empty_masks > 0) {
    warnings.push_back(
        fmt::format("label 1 but an empty mask: {} of {} images; their pixels count "
                    "as normal",
                    result.num_empty_masks, masks.size()));
  }
  const auto check_direction = [&](const char* level, const std::optional<double>& auroc) {
    if (!auroc || *auroc >= 0.5) return;
    warnings.push_back(
        fmt::format("{} AUROC is {:.4f}, worse than chance: higher must mean more "
                    "anomalous",
                    level, *auroc));
  };
  check_direction("image", result.image.auroc);
  check_direction("pixel", result.pixel.auroc);
  return warnings;
}

}  // namespace

Measured measure(const ScoredImages& images, const MeasureOptions& options) {
  Measured measured;
  CategoryResult& result = measured.metrics;
  result.num_images = images.num_images();
  Stopwatch watch;
  std::vector<MaskRuns> masks;
  for (std::int64_t i = 0; images.has_masks() && i < images.num_images(); ++i) {
    masks.push_back(images.labelled_mask(i, options.connectivity));
    const bool anomalous = images.has_labels() && images.labels()[static_cast<std::size_t>(i)] != 0;
    result.num_empty_masks += anomalous && masks.back().runs.empty() ? 1 : 0;
  }
  measured.seconds_masks = watch.lap();
  result.image = measure_images(images);
  result.pixel = measure_pixels(images, masks, options);
  measured.seconds_metrics = watch.lap();
  if (!result.image.undefined_because.empty() && !result.pixel.undefined_because.empty()) {
    throw DataError("{}: no metric is defined: {}, so none of images; {}, so none of pixels",
                    images.path(), in_words(result.image.undefined_because),
                    in_words(result.pixel.undefined_because));
  }
  measured.warnings = find_oddities(images, masks, result);
  return measured;
}

}  // namespace assay
