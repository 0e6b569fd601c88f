#include "evaluator/category_result.h"

#include "core/optional_json.h"
#include "evaluator/cflow200.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace assay {
namespace {

using nlohmann::json;

json image_json(const ImageMetrics& image) {
  return {{"auroc", optional_json(image.auroc)},
          {"ap", optional_json(image.ap)},
          {"f1max", optional_json(image.f1max)},
          {"f1max_threshold", optional_json(image.f1max_threshold)},
          {"num_normal", image.num_normal},
          {"num_anomalous", image.num_anomalous},
          {"undefined_because", image.undefined_because}};
}

json pixel_json(const PixelMetrics& pixel) {
  return {{"auroc", optional_json(pixel.auroc)},
          {"ap", optional_json(pixel.ap)},
          {"f1max", optional_json(pixel.f1max)},
          {"aupro", optional_json(pixel.aupro)},
          {"aupro_cflow200", optional_json(pixel.aupro_cflow200)},
          {"f1max_threshold", optional_json(pixel.f1max_threshold)},
          {"num_normal", pixel.num_normal},
          {"num_anomalous", pixel.num_anomalous},
          {"num_regions", pixel.num_regions},
          {"undefined_because", pixel.undefined_because},
          {"cflow200_undefined_because", pixel.cflow200_undefined_because}};
}

ImageMetrics image_from_json(const json& value) {
  return {.auroc = optional_value<double>(value.at("auroc")),
          .ap = optional_value<double>(value.at("ap")),
          .f1max = optional_value<double>(value.at("f1max")),
          .f1max_threshold = optional_value<float>(value.at("f1max_threshold")),
          .num_normal = value.at("num_normal"),
          .num_anomalous = value.at("num_anomalous"),
          .undefined_because = value.at("undefined_because")};
}

PixelMetrics pixel_from_json(const json& value) {
  return {.auroc = optional_value<double>(value.at("auroc")),
          .ap = optional_value<double>(value.at("ap")),
          .f1max = optional_value<double>(value.at("f1max")),
          .aupro = optional_value<double>(value.at("aupro")),
          .aupro_cflow200 = optional_value<double>(value.at("aupro_cflow200")),
          .f1max_threshold = optional_value<float>(value.at("f1max_threshold")),
          .num_normal = value.at("num_normal"),
          .num_anomalous = value.at("num_anomalous"),
          .num_regions = value.at("num_regions"),
          .undefined_because = value.at("undefined_because"),
          .cflow200_undefined_because = value.at("cflow200_undefined_because")};
}

// How many of the categories with an AUROC are worse than chance.
std::string inversion_at(std::span<const CategoryResult> results,
                         const char* level,
                         std::optional<double> (*auroc)(const CategoryResult&)) {
  int num_below = 0, num_defined = 0;
  for (const CategoryResult& result : results) {
    const std::optional<double> value = auroc(result);
    num_defined += value ? 1 : 0;
    num_below += value && *value < 0.5 ? 1 : 0;
  }
  if (2 * num_below <= num_defined) return "";
  return fmt::format("{} AUROC below 0.5 in {} of {} categories; ", level, num_below, num_defined);
}

}  // namespace

json to_json(const CategoryResult& result) {
  return {{"category", result.category},
          {"image", image_json(result.image)},
          {"pixel", pixel_json(result.pixel)},
          {"num_images", result.num_images},
          {"num_empty_masks", result.num_empty_masks}};
}

CategoryResult category_result_from_json(const json& value) {
  return {.category = value.at("category"),
          .image = image_from_json(value.at("image")),
          .pixel = pixel_from_json(value.at("pixel")),
          .num_images = value.at("num_images"),
          .num_empty_masks = value.at("num_empty_masks")};
}

std::vector<CategoryMetric> metrics_of_category(const CategoryResult& result) {
  std::vector<CategoryMetric> metrics;
  const ImageMetrics& image = result.image;
  const auto add_image = [&](const char* metric, const std::optional<double>& value) {
    metrics.push_back({"image", metric, value, image.undefined_because, image.num_normal,
                       image.num_anomalous, std::nullopt});
  };
  add_image("auroc", image.auroc);
  add_image("ap", image.ap);
  add_image("f1max", image.f1max);

  const PixelMetrics& pixel = result.pixel;
  const auto add_pixel = [&](const char* metric, const std::optional<double>& value,
                             const std::string& undefined_because) {
    metrics.push_back({"pixel", metric, value, undefined_because, pixel.num_normal,
                       pixel.num_anomalous, pixel.num_regions});
  };
  add_pixel("auroc", pixel.auroc, pixel.undefined_because);
  add_pixel("ap", pixel.ap, pixel.undefined_because);
  add_pixel("f1max", pixel.f1max, pixel.undefined_because);
  add_pixel("aupro", pixel.aupro, pixel.undefined_because);
  if (pixel.cflow200_undefined_because != kCflow200NotAskedFor) {
    add_pixel("aupro_cflow200", pixel.aupro_cflow200, pixel.cflow200_undefined_because);
  }
  return metrics;
}

std::string inversion_warning(std::span<const CategoryResult> results,
                              const std::string& checkpoint) {
  const std::string found =
      inversion_at(results, "image", [](const CategoryResult& r) { return r.image.auroc; }) +
      inversion_at(results, "pixel", [](const CategoryResult& r) { return r.pixel.auroc; });
  if (found.empty()) return "";
  return fmt::format("{}: {}maps may be inverted, or prompts and weights do not belong together",
                     checkpoint, found);
}

}  // namespace assay
