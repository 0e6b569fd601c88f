#pragma once

#include "datasets/synth_drawing.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace assay {

/// Everything about a picture but its defect.
struct Scene {
  const DrawingCategory* category = nullptr;
  Material material = Material::kMetal;
  std::string_view colour;
  Rgb roles[4];  ///< By Role, without kCut.
  TextureLook look;
  Rgb background, background_second;
  TextureLook background_look;
  std::vector<Part> parts;
  std::uint32_t grain = 0;

  float cosine = 1.0F, sine = 0.0F, scale = 1.0F, x = 0.0F, y = 0.0F;  ///< Pose.
  float view_x = 0.0F, view_y = 0.0F, view = 1.0F;  ///< Centre and half width of what is seen.
  float light_x = -0.7F, light_y = -0.7F, slope_x = 0.0F, slope_y = 0.0F, exposure = 1.0F;
  float blur = 0.0F, noise = 0.0F;
  std::uint32_t noise_seed = 0;
};
/// A noiseless picture: colours, and how much of each pixel the object covers.
struct Canvas {
  explicit Canvas(int pixels)
      : size(pixels),
        colour(static_cast<std::size_t>(pixels * pixels)),
        object(static_cast<std::size_t>(pixels * pixels), 1.0F) {}
  int size;
  std::vector<Rgb> colour;
  std::vector<float> object;
  std::vector<Rgb> behind;  ///< The background alone; empty for textures.

  [[nodiscard]] std::size_t at(int row, int column) const {
    return static_cast<std::size_t>(row * size + column);
  }
};
/// The scene without light and camera noise, spoiled by `defect` where there is one.
[[nodiscard]] Canvas paint(const Scene& scene, const Defect* defect, int size);

/// Light, lens and sensor: from colours to bytes. Twins get the same noise.
[[nodiscard]] std::vector<std::uint8_t> photograph(const Scene& scene, const Canvas& canvas);

}  // namespace assay
