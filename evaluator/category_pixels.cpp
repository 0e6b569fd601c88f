#include "evaluator/category_pixels.h"

#include "core/error.h"
#include "evaluator/score_key.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace assay {
namespace {

struct KeyRange {
  std::uint32_t lowest = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t highest = 0;
};

KeyRange key_range(std::span<const float> scores) {
  KeyRange range;
  for (const float score : scores) {
    const std::uint32_t key = score_key(score);
    range.lowest = std::min(range.lowest, key);
    range.highest = std::max(range.highest, key);
  }
  return range;
}

// Keys of NaN lie beyond those of the infinities, on either side.
bool is_finite(const KeyRange& range) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return range.lowest > score_key(-kInfinity) && range.highest < score_key(kInfinity);
}

void check_sizes(std::span<const std::span<const float>> maps, std::span<const MaskRuns> masks) {
  if (maps.size() != masks.size()) {
    throw std::invalid_argument(
        fmt::format("pixel_metrics: {} maps, {} masks", maps.size(), masks.size()));
  }
  std::uint64_t num_pixels = 0;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    num_pixels += maps[i].size();
    if (maps[i].size() != static_cast<std::size_t>(masks[i].height) * masks[i].width) {
      throw std::invalid_argument(
          fmt::format("pixel_metrics: map {} has {} scores, its mask is {} x {}", i, maps[i].size(),
                      masks[i].height, masks[i].width));
    }
  }
  if (num_pixels > std::numeric_limits<std::uint32_t>::max()) {
    throw std::invalid_argument(fmt::format(
        "pixel_metrics: {} pixels in one category, expected fewer than 2^32", num_pixels));
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
  CategoryPixels pixels;
  pixels.maps = maps;
  pixels.masks = masks;
  KeyRange all;
  std::uint64_t num_regions = 0;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const KeyRange range = key_range(maps[i]);
    if (!maps[i].empty() && !is_finite(range)) {
      const auto bad = std::ranges::find_if(maps[i], [](float s) { return !std::isfinite(s); });
      const std::int64_t pixel = bad - maps[i].begin();
      throw DataError("the map of image {} is {} at row {}, column {}, expected finite scores", i,
                      *bad, pixel / masks[i].width, pixel % masks[i].width);
    }
    all.lowest = std::min(all.lowest, range.lowest);
    all.highest = std::max(all.highest, range.highest);
    pixels.num_normal += static_cast<std::int64_t>(maps[i].size());
    pixels.first_region.push_back(static_cast<std::uint32_t>(num_regions));
    num_regions += masks[i].areas.size();
  }
  pixels.lowest_key = all.lowest;
  pixels.highest_key = all.highest;
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

}  // namespace assay
