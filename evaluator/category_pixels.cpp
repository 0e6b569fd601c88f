#include "evaluator/category_pixels.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

namespace assay {
namespace {

void check_sizes(std::span<const std::span<const float>> maps, std::span<const MaskRuns> masks) {
  if (maps.size() != masks.size()) {
    throw std::invalid_argument(
        fmt::format("pixel_metrics: {} maps, {} masks", maps.size(), masks.size()));
  }
  for (std::size_t i = 0; i < maps.size(); ++i) {
    if (maps[i].size() != static_cast<std::size_t>(masks[i].height) * masks[i].width) {
      throw std::invalid_argument(
          fmt::format("pixel_metrics: map {} has {} scores, its mask is {} x {}", i, maps[i].size(),
                      masks[i].height, masks[i].width));
    }
  }
}

std::uint64_t pixel_weight(std::uint64_t num_regions, std::uint64_t area) {
  constexpr std::uint64_t kOne = std::uint64_t{1} << 62;
  return (kOne + num_regions * area / 2) / (num_regions * area);
}

}  // namespace

CategoryPixels category_pixels(std::span<const std::span<const float>> maps,
                               std::span<const MaskRuns> masks) {
  check_sizes(maps, masks);
  return category_pixels([maps](std::size_t image, int /*thread*/) { return maps[image]; }, masks);
}

CategoryPixels category_pixels(MapSource map_of, std::span<const MaskRuns> masks) {
  CategoryPixels pixels;
  pixels.map_of = std::move(map_of);
  pixels.masks = masks;
  std::uint64_t num_regions = 0;
  for (const MaskRuns& mask : masks) {
    pixels.num_normal += std::int64_t{mask.height} * mask.width;
    pixels.first_region.push_back(static_cast<std::uint32_t>(num_regions));
    num_regions += mask.areas.size();
  }
  if (pixels.num_normal > std::numeric_limits<std::uint32_t>::max()) {
    throw std::invalid_argument(fmt::format(
        "pixel_metrics: {} pixels in one category, expected fewer than 2^32", pixels.num_normal));
  }
  pixels.weights.reserve(num_regions);
  for (const MaskRuns& mask : masks) {
    for (const std::int64_t area : mask.areas) {
      pixels.weights.push_back(pixel_weight(num_regions, static_cast<std::uint64_t>(area)));
      pixels.total_weight += pixels.weights.back() * static_cast<std::uint64_t>(area);
      pixels.num_anomalous += area;
    }
  }
  pixels.num_normal -= pixels.num_anomalous;
  return pixels;
}

KeyRange finite_range(std::span<const float> map, std::size_t image, std::int64_t width) {
  const KeyRange range = key_range(map);
  if (map.empty() || range.is_finite()) return range;
  const auto bad = std::ranges::find_if(map, [](float score) { return !std::isfinite(score); });
  const std::int64_t pixel = bad - map.begin();
  throw DataError("the map of image {} is {} at row {}, column {}, expected finite scores", image,
                  *bad, pixel / width, pixel % width);
}

}  // namespace assay
