#include "datasets/synth_scene.h"

#include <algorithm>

namespace assay {
namespace {

constexpr float kPi = 3.14159265F;

/// 1 inside (`distance` < 0), 0 outside, softened over `width`.
float inside(float distance, float width) {
  return clamp01(0.5F - distance / std::max(width, 1e-4F));
}

/// Distance of x to the nearest integer.
float to_line(float x) {
  const float f = fraction(x);
  return std::min(f, 1.0F - f);
}

Tone weave(const TextureLook& k, float u, float v) {
  const bool over = ((floor_int(u) + floor_int(v)) & 1) != 0;
  const float across = (over ? fraction(v) : fraction(u)) - 0.5F;
  const float along = (over ? fraction(u) : fraction(v)) - 0.5F;
  const float shade = (0.45F + 0.55F * std::cos(across * kPi)) * (1.0F - 0.9F * along * along);
  return {over ? 0.0F : 0.3F + 0.5F * k.p, 0.5F + 0.55F * shade};
}

Tone wood(const TextureLook& k, float u, float v) {
  const float bend = 0.9F * fractal_noise(u * 0.35F, v * 0.9F, k.seed, 3);
  const float rings = fraction(v * 0.8F + bend * (0.8F + k.p));
  const float fibre = value_noise(u * 1.5F, v * 14.0F, k.seed + 7);
  return {smooth_step(0.1F, 0.95F, rings) * (0.5F + 0.5F * k.q), 0.86F + 0.24F * fibre};
}

Tone tiles(const TextureLook& k, float u, float v, float w) {
  const float joint = 0.05F + 0.06F * k.p;
  const float line = std::max(inside(to_line(u) - joint, w), inside(to_line(v) - joint, w));
  const float tint = lattice_value(floor_int(u), floor_int(v), k.seed);
  return {line, 0.9F + 0.16F * tint * k.q};
}

Tone dots(const TextureLook& k, float u, float v, float w) {
  if (k.q > 0.5F && (floor_int(v) & 1) != 0) u += 0.5F;
  const float du = fraction(u) - 0.5F, dv = fraction(v) - 0.5F;
  return {inside(std::sqrt(du * du + dv * dv) - 0.18F - 0.17F * k.p, w), 1.0F};
}

Tone hexagons(const TextureLook& k, float u, float v, float w) {
  const float row = 0.8660254F;  // Rows of a triangular lattice of centres lie sqrt(3)/2 apart.
  float first = 9.0F, second = 9.0F;
  const int base = floor_int(v / row);
  for (int j = base - 1; j <= base + 2; ++j) {
    const float offset = (j & 1) != 0 ? 0.5F : 0.0F;
    const int i0 = floor_int(u - offset);
    for (int i = i0 - 1; i <= i0 + 2; ++i) {
      const float dx = static_cast<float>(i) + offset - u, dy = static_cast<float>(j) * row - v;
      const float d = std::sqrt(dx * dx + dy * dy);
      if (d < first) {
        second = first;
        first = d;
      } else {
        second = std::min(second, d);
      }
    }
  }
  return {inside((second - first) - 0.08F - 0.1F * k.p, w * 2.0F), 1.0F - 0.25F * first * k.q};
}

Tone brick(const TextureLook& k, float u, float v, float w) {
  const int row = floor_int(v * 1.6F);
  const float s = u * 0.7F + ((row & 1) != 0 ? 0.5F : 0.0F);
  const float line =
      std::max(inside(to_line(s) - 0.035F, w), inside(to_line(v * 1.6F) - 0.08F, w * 1.6F));
  const float tint = lattice_value(floor_int(s), row, k.seed);
  return {line, 0.82F + 0.3F * tint * (0.3F + 0.7F * k.p)};
}

Tone knit(const TextureLook& k, float u, float v) {
  const float slope = std::abs(fraction(u) - 0.5F) * (1.2F + k.p);
  const float stitch = fraction(v * 1.4F + slope) - 0.5F;
  const float column = std::abs(std::sin(u * kPi));
  return {0.25F * k.q, (0.55F + 0.5F * std::cos(stitch * kPi)) * (0.72F + 0.3F * column)};
}

Tone scales(const TextureLook& k, float u, float v, float w) {
  // The scale of the lowest row that covers the point lies on top.
  for (int row = floor_int(v * 2.0F) + 1; row >= floor_int(v * 2.0F) - 1; --row) {
    const float offset = (row & 1) != 0 ? 0.5F : 0.0F;
    const float du = fraction(u + offset) - 0.5F;
    const float dv = v - static_cast<float>(row) * 0.5F;
    const float r = std::sqrt(du * du + dv * dv);
    if (dv < 0.0F || r > 0.56F) continue;
    return {inside(std::abs(r - 0.53F) - 0.03F, w), 0.72F + 0.45F * r * (0.6F + 0.4F * k.p)};
  }
  return {0.0F, 0.75F};
}

}  // namespace

Tone texture_tone(const TextureLook& k, float x, float y, float pixel) {
  const float u = (k.cosine * x + k.sine * y) * k.scale;
  const float v = (-k.sine * x + k.cosine * y) * k.scale;
  const float w = pixel * k.scale;
  switch (k.texture) {
    case Texture::kWeave: return weave(k, u, v);
    case Texture::kWood: return wood(k, u, v);
    case Texture::kTiles: return tiles(k, u, v, w);
    case Texture::kStripes:
      return {inside(std::abs(fraction(u) - 0.5F) - 0.12F - 0.2F * k.p, w), 1.0F};
    case Texture::kDots: return dots(k, u, v, w);
    case Texture::kMarble: {
      const float vein = std::sin(u * 1.3F + 7.0F * fractal_noise(u * 0.5F, v * 0.5F, k.seed, 4));
      return {std::pow(std::abs(vein), 3.0F) * 0.9F, 1.0F};
    }
    case Texture::kBrushed:
      return {0.15F * value_noise(u * 0.1F, v * 2.0F, k.seed),
              0.75F + 0.35F * value_noise(u * 0.35F, v * 9.0F, k.seed + 3) +
                  0.1F * value_noise(u, v * 25.0F, k.seed + 4)};
    case Texture::kLeather: {
      const CellDistances c = cell_noise(u * 1.6F, v * 1.6F, k.seed);
      return {0.2F * c.id, 0.62F + 0.45F * smooth_step(0.0F, 0.35F, c.second - c.nearest)};
    }
    case Texture::kGravel: {
      const CellDistances c = cell_noise(u, v, k.seed);
      return {c.id * 0.8F, 1.15F - 0.75F * c.nearest};
    }
    case Texture::kMesh: {
      const float wire = 0.1F + 0.1F * k.p;
      const float d = std::min(to_line(u), to_line(v));
      return {1.0F - inside(d - wire, w), 1.05F - 1.2F * std::min(d, 0.25F)};
    }
    case Texture::kChecker: {
      const float su = std::sin(u * kPi) * std::sin(v * kPi);
      return {clamp01(0.5F + su / (w * 4.0F + 0.02F)), 1.0F};
    }
    case Texture::kWaves:
      return {0.5F + 0.5F * std::sin(kPi * (v + 0.5F * std::sin(u * (0.8F + k.p)))), 1.0F};
    case Texture::kCarpet:
      return {0.6F * value_noise(u * 2.0F, v * 2.0F, k.seed),
              0.65F + 0.5F * value_noise(u * 5.0F, v * 5.0F, k.seed + 1)};
    case Texture::kGranite: {
      const float coarse = value_noise(u * 3.0F, v * 3.0F, k.seed);
      const float fine = value_noise(u * 7.0F, v * 7.0F, k.seed + 1);
      return {smooth_step(0.55F, 0.7F, coarse) * 0.8F, 0.8F + 0.35F * fine};
    }
    case Texture::kHexagons: return hexagons(k, u, v, w);
    case Texture::kCorrugated: return {0.1F, 0.75F + 0.35F * std::sin(u * 2.0F * kPi)};
    case Texture::kCork: {
      const CellDistances c = cell_noise(u * 2.0F, v * 2.0F, k.seed);
      return {c.id > 0.75F ? 0.7F * (1.0F - c.nearest) : 0.1F,
              0.85F + 0.25F * value_noise(u * 5.0F, v * 5.0F, k.seed + 1)};
    }
    case Texture::kPlain: return {0.2F * fractal_noise(u * 0.4F, v * 0.4F, k.seed, 2), 1.0F};
    case Texture::kDenim: {
      const float twill = fraction(u + v) - 0.5F;
      return {
          0.5F * inside(std::abs(twill) - 0.2F, 0.4F),
          0.7F + 0.3F * std::cos(twill * kPi) + 0.15F * value_noise(u * 0.5F, v * 6.0F, k.seed)};
    }
    case Texture::kBrick: return brick(k, u, v, w);
    case Texture::kKnit: return knit(k, u, v);
    case Texture::kScales: return scales(k, u, v, w);
  }
  return {0.0F, 1.0F};
}

const std::vector<NamedColour>& named_colours() {
  static const std::vector<NamedColour> colours = {
      {"red", {0.78F, 0.14F, 0.13F}},    {"orange", {0.92F, 0.50F, 0.12F}},
      {"yellow", {0.92F, 0.82F, 0.22F}}, {"green", {0.18F, 0.58F, 0.24F}},
      {"teal", {0.12F, 0.58F, 0.60F}},   {"blue", {0.15F, 0.32F, 0.76F}},
      {"purple", {0.48F, 0.22F, 0.66F}}, {"pink", {0.94F, 0.56F, 0.70F}},
      {"brown", {0.44F, 0.27F, 0.14F}},  {"beige", {0.85F, 0.75F, 0.58F}},
      {"white", {0.92F, 0.92F, 0.91F}},  {"grey", {0.54F, 0.55F, 0.56F}},
      {"black", {0.14F, 0.14F, 0.15F}},
  };
  return colours;
}

std::string_view material_name(Material material) {
  static constexpr std::string_view kNames[] = {"metal",  "plastic", "wooden",   "stone",
                                                "rubber", "ceramic", "glass",    "paper",
                                                "fabric", "leather", "concrete", "wax"};
  return kNames[static_cast<int>(material)];
}

float material_grain(Material material, float x, float y, std::uint32_t seed) {
  switch (material) {
    case Material::kMetal: return 0.86F + 0.22F * value_noise(x * 2.0F, y * 40.0F, seed);
    case Material::kPlastic: return 1.0F + 0.08F * (x - y);
    case Material::kWooden:
      return 0.78F + 0.36F * fraction(2.2F * y + 1.2F * value_noise(x * 1.2F, y * 2.0F, seed)) +
             0.08F * value_noise(x * 4.0F, y * 40.0F, seed + 1);
    case Material::kStone: return 0.72F + 0.5F * fractal_noise(x * 8.0F, y * 8.0F, seed, 3);
    case Material::kRubber: return 0.80F + 0.06F * value_noise(x * 20.0F, y * 20.0F, seed);
    case Material::kCeramic: return 1.05F + 0.10F * (x + y);
    case Material::kGlass:
      return 0.95F + 0.35F * smooth_step(0.08F, 0.0F, std::abs(fraction(x + y * 0.5F) - 0.4F));
    case Material::kPaper: return 0.95F + 0.10F * value_noise(x * 14.0F, y * 14.0F, seed);
    case Material::kFabric:
      return 0.82F + 0.12F * (std::sin(x * 45.0F) + 1.0F) + 0.12F * std::sin(y * 45.0F);
    case Material::kLeather: {
      const CellDistances c = cell_noise(x * 7.0F, y * 7.0F, seed);
      return 0.78F + 0.3F * smooth_step(0.0F, 0.3F, c.second - c.nearest);
    }
    case Material::kConcrete:
      return 0.8F + 0.25F * value_noise(x * 5.0F, y * 5.0F, seed) +
             0.15F * value_noise(x * 25.0F, y * 25.0F, seed + 1);
    case Material::kWax: return 0.92F + 0.14F * value_noise(x * 2.0F, y * 2.0F, seed);
  }
  return 1.0F;
}

float material_gloss(Material material) {
  static constexpr float kGloss[] = {0.8F, 0.55F, 0.25F, 0.25F, 0.2F,  0.7F,
                                     0.9F, 0.08F, 0.08F, 0.25F, 0.15F, 0.35F};
  return kGloss[static_cast<int>(material)];
}

}  // namespace assay
