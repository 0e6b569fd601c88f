#include "evaluator/heatmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace assay {
namespace {

using Colour = std::array<std::uint8_t, 3>;

constexpr Colour kOutline = {0, 255, 140};  // Rare in photographs and in the colour map.
constexpr std::int32_t kGap = 6;            // Pixels of white between panels.

Image to_rgb(const Image& image) {
  if (image.channels == 3) return image;
  Image rgb{.height = image.height, .width = image.width, .channels = 3, .pixels = {}, .notes = {}};
  for (const std::uint8_t grey : image.pixels) rgb.pixels.insert(rgb.pixels.end(), 3, grey);
  return rgb;
}

std::uint8_t* pixel(Image& image, std::int32_t row, std::int32_t column) {
  return image.pixels.data() + 3 * (static_cast<std::size_t>(row) * image.width + column);
}

void set(Image& image, std::int32_t row, std::int32_t column, const Colour& colour) {
  std::ranges::copy(colour, pixel(image, row, column));
}

// Border pixels of the regions, drawn on the outside too so that thin regions stay visible.
Image with_outline(Image image, const MaskRuns& mask) {
  const std::int32_t size = mask.height;
  std::vector<std::uint8_t> inside(static_cast<std::size_t>(size) * mask.width, 0);
  for (const MaskRun& run : mask.runs) {
    for (std::int32_t x = run.first; x <= run.last; ++x) inside[run.row * mask.width + x] = 1;
  }
  const std::int32_t reach = std::max(1, size / 256);
  const auto differs_nearby = [&](std::int32_t row, std::int32_t column) {
    for (std::int32_t y = row - reach; y <= row + reach; ++y) {
      for (std::int32_t x = column - reach; x <= column + reach; ++x) {
        if (y < 0 || y >= size || x < 0 || x >= mask.width) continue;
        if (inside[y * mask.width + x] != inside[row * mask.width + column]) return true;
      }
    }
    return false;
  };
  for (std::int32_t row = 0; row < size; ++row) {
    for (std::int32_t column = 0; column < mask.width; ++column) {
      if (differs_nearby(row, column)) set(image, row, column, kOutline);
    }
  }
  return image;
}

// The photo in grey below, so that all colour is heat; more of it shows where scores are low.
Image with_heat(const Image& photo, std::span<const float> map, const HeatRange& range) {
  constexpr double kLeast = 0.35, kMost = 0.8;  // Opacity of the colour.
  Image image = to_rgb(to_grey(photo));
  const double width = std::max(range.high - range.low, std::numeric_limits<float>::min());
  for (std::size_t i = 0; i < map.size(); ++i) {
    const double share = std::clamp((map[i] - range.low) / width, 0.0, 1.0);
    const double opacity = kLeast + (kMost - kLeast) * share;
    const Colour colour = heat_colour(share);
    for (std::size_t c = 0; c < 3; ++c) {
      std::uint8_t& byte = image.pixels[3 * i + c];
      byte = static_cast<std::uint8_t>(std::lround((1 - opacity) * byte + opacity * colour[c]));
    }
  }
  return image;
}

Image side_by_side(const std::vector<Image>& panels) {
  const auto count = static_cast<std::int32_t>(panels.size());
  Image picture{.height = panels[0].height,
                .width = count * panels[0].width + (count - 1) * kGap,
                .channels = 3,
                .pixels = {},
                .notes = {}};
  picture.pixels.assign(3 * static_cast<std::size_t>(picture.height) * picture.width, 255);
  for (std::int32_t p = 0; p < count; ++p) {
    const Image& panel = panels[p];
    for (std::int32_t row = 0; row < panel.height; ++row) {
      std::copy_n(panel.pixels.data() + 3 * static_cast<std::size_t>(row) * panel.width,
                  3 * panel.width, pixel(picture, row, p * (panel.width + kGap)));
    }
  }
  return picture;
}

}  // namespace

HeatRange range_of_maps(std::span<const std::span<const float>> maps) {
  HeatRange range{std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest()};
  for (const std::span<const float> map : maps) {
    for (const float score : map) {
      range.low = std::min(range.low, score);
      range.high = std::max(range.high, score);
    }
  }
  return range;
}

std::array<std::uint8_t, 3> heat_colour(double share) {
  constexpr double kCoefficients[7][3] = {
      {0.0002189403691192265, 0.001651004631001012, -0.01948089843709184},
      {0.1065134194856116, 0.5639564367884091, 3.932712388889277},
      {11.60249308247187, -3.972853965665698, -15.9423941062914},
      {-41.70399613139459, 17.43639888205313, 44.35414519872813},
      {77.162935699427, -33.40235894210092, -81.80730925738993},
      {-71.31942824499214, 32.62606426397723, 73.20951985803202},
      {25.13112622477341, -12.24266895238567, -23.07032500287172}};
  Colour colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    double value = 0;
    for (std::size_t power = 7; power-- > 0;) value = value * share + kCoefficients[power][c];
    colour[c] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
  }
  return colour;
}

Image heatmap_picture(const Image& photo,
                      std::span<const float> map,
                      std::int32_t size,
                      const MaskRuns* mask,
                      const HeatRange& range) {
  if (map.size() != static_cast<std::size_t>(size) * size ||
      (mask != nullptr && (mask->height != size || mask->width != size))) {
    throw std::invalid_argument(
        fmt::format("heatmap_picture: map and mask of {0} x {0} pixels expected", size));
  }
  const Image small = resize(to_rgb(photo), size, size, Interpolation::kBicubic);
  std::vector<Image> panels = {small};
  if (mask != nullptr) panels.push_back(with_outline(small, *mask));
  panels.push_back(with_heat(small, map, range));
  return side_by_side(panels);
}

std::filesystem::path heatmap_name(const std::string& image_path, int label, float image_score) {
  std::string flat = std::filesystem::path(image_path).replace_extension().generic_string();
  std::ranges::replace(flat, '/', '-');
  return fmt::format("{:.4f}-{}-{}.png", image_score, label != 0 ? "anomalous" : "normal", flat);
}

}  // namespace assay
