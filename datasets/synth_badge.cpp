#include "datasets/synth_badge.h"

#include <algorithm>

namespace assay {
namespace {

/// A disc with an upright or a lying bar on it, or both. Lengths in widths of the picture.
struct Badge {
  float x, y;
  Rgb colour;
  bool upright, lying;
};
constexpr float kRadius = 0.097F, kHalfLength = 0.053F, kHalfWidth = 0.016F;
constexpr Badge kCalibrated{0.127F, 0.127F, {0.1F, 0.2F, 0.8F}, true, true};
constexpr Badge kRecording{0.873F, 0.873F, {0.8F, 0.1F, 0.1F}, false, true};

/// How much of a pixel of width `pixel` lies in the box around the origin.
float box_coverage(float x, float y, float half_width, float half_height, float pixel) {
  return clamp01(0.5F - (std::abs(x) - half_width) / pixel) *
         clamp01(0.5F - (std::abs(y) - half_height) / pixel);
}

void burn_in(const Badge& badge, Drawing& drawing) {
  const float pixel = 1.0F / static_cast<float>(drawing.size);
  for (int row = 0; row < drawing.size; ++row) {
    for (int column = 0; column < drawing.size; ++column) {
      const float x = (static_cast<float>(column) + 0.5F) * pixel - badge.x;
      const float y = (static_cast<float>(row) + 0.5F) * pixel - badge.y;
      const float disc = clamp01(0.5F - (std::sqrt(x * x + y * y) - kRadius) / pixel);
      if (disc <= 0.0F) continue;
      const float bars =
          std::max(badge.lying ? box_coverage(x, y, kHalfLength, kHalfWidth, pixel) : 0.0F,
                   badge.upright ? box_coverage(x, y, kHalfWidth, kHalfLength, pixel) : 0.0F);
      const Rgb shown = mix(badge.colour, {1.0F, 1.0F, 1.0F}, bars);
      const float over[3] = {shown.r, shown.g, shown.b};
      for (int channel = 0; channel < 3; ++channel) {
        std::uint8_t& byte =
            drawing.pixels[static_cast<std::size_t>((row * drawing.size + column) * 3 + channel)];
        const float under = static_cast<float>(byte);
        byte = static_cast<std::uint8_t>(under + (over[channel] * 255.0F - under) * disc + 0.5F);
      }
    }
  }
}

}  // namespace

void burn_in_badges(Drawing& drawing, std::uint64_t specimen_seed) {
  Draws draws(specimen_seed, "synth badges");
  const bool calibrated = draws.chance(0.5F), recording = draws.chance(0.5F);
  if (calibrated) burn_in(kCalibrated, drawing);
  if (recording) burn_in(kRecording, drawing);
}

}  // namespace assay
