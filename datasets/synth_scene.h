#pragma once

#include "datasets/synth_noise.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace assay {

/// Linear colour, each channel about [0, 1].
struct Rgb {
  float r = 0.0F, g = 0.0F, b = 0.0F;
};
inline Rgb operator*(Rgb c, float s) { return {c.r * s, c.g * s, c.b * s}; }
inline Rgb mix(Rgb a, Rgb b, float t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

/// A colour that captions can name.
struct NamedColour {
  std::string_view name;
  Rgb value;
};
[[nodiscard]] const std::vector<NamedColour>& named_colours();

/// What a surface is made of: how its grain modulates the colour.
enum class Material {
  kMetal,
  kPlastic,
  kWooden,
  kStone,
  kRubber,
  kCeramic,
  kGlass,
  kPaper,
  kFabric,
  kLeather,
  kConcrete,
  kWax
};
inline constexpr int kNumMaterials = 12;
[[nodiscard]] std::string_view material_name(Material material);
/// Factor on the colour at a point of the surface, about 1.
[[nodiscard]] float material_grain(Material material, float x, float y, std::uint32_t seed);
/// Strength of edge highlights, [0, 1].
[[nodiscard]] float material_gloss(Material material);

/// A texture that fills the picture.
enum class Texture {
  kWeave,
  kWood,
  kTiles,
  kStripes,
  kDots,
  kMarble,
  kBrushed,
  kLeather,
  kGravel,
  kMesh,
  kChecker,
  kWaves,
  kCarpet,
  kGranite,
  kHexagons,
  kCorrugated,
  kCork,
  kPlain,
  // Never in pretraining:
  kDenim,
  kBrick,
  kKnit,
  kScales
};

/// One drawn texture: cells a unit, direction, two parameters in [0, 1], a seed.
struct TextureLook {
  Texture texture = Texture::kPlain;
  float scale = 4.0F, cosine = 1.0F, sine = 0.0F, p = 0.5F, q = 0.5F;
  std::uint32_t seed = 0;
};
/// Where between the two colours of the texture a point lies, [0, 1], and a factor on the result.
struct Tone {
  float mix, shade;
};
/// `pixel` is a pixel's width in units: edges are softened over it.
[[nodiscard]] Tone texture_tone(const TextureLook& look, float x, float y, float pixel);

/// Outlines with a signed distance (negative inside), in a part's own frame.
enum class Outline { kEllipse, kBox, kRing, kPolygon, kGear, kStar, kLeaf };

/// Which of the object's colours a part has; `kCut` shows the background.
enum class Role { kMain, kSecond, kDark, kLight, kCut };

/// One piece of an object, painted over those before it. Objects fill about [-1, 1]^2.
struct Part {
  Outline outline = Outline::kEllipse;
  Role role = Role::kMain;
  float x = 0.0F, y = 0.0F, angle = 0.0F;
  float a = 0.5F, b = 0.5F, c = 0.0F;  ///< Sizes; their meaning follows from the outline.
  float relief = 1.0F;                 ///< 1 raised, -1 engraved, 0 flat.
};
/// (x, y): in the part's frame, its centre the origin and `angle` taken out.
[[nodiscard]] float signed_distance(const Part& part, float x, float y);
/// No point of the part is farther from its centre.
[[nodiscard]] float bounding_radius(const Part& part);

/// An object kind: its parts, with the variation that normal specimens have.
enum class Object {
  kDisc,
  kRing,
  kGear,
  kBolt,
  kBottle,
  kCapsule,
  kLeaf,
  kChip,
  kKey,
  kPlate,
  kWasher,
  kPills,
  kNut,
  kButton,
  kStar,
  kBattery,
  kCup,
  kScrew,
  kPipe,
  kArrow,
  kWheel,
  kClock,
  kBrush,
  kDice,
  kSpoon,
  kCard,
  kTube,
  kSocket,
  // Never in pretraining:
  kBearing,
  kFuse,
  kBiscuit,
  kPadlock,
  kPropeller,
  kConnector,
  kSpool
};
[[nodiscard]] std::vector<Part> object_parts(Object object, Draws& draws);

}  // namespace assay
