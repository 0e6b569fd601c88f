#include "datasets/synth_drawing.h"

#include "datasets/synth_painter.h"

#include <algorithm>

namespace assay {
namespace {

/// A mask pixel: covered by a layer at least this much, or this far from the flawless colour.
constexpr float kCovered = 0.3F, kChanged = 0.05F;
/// What a defect must reach to be seen: share of the picture, mean change of its pixels.
constexpr float kSmallestShare = 0.004F, kFaintestChange = 0.1F;
constexpr int kAttempts = 24;

float difference(Rgb a, Rgb b) {
  return (std::abs(a.r - b.r) + std::abs(a.g - b.g) + std::abs(a.b - b.b)) / 3.0F;
}

Rgb jitter(Rgb c, Draws& d) {
  const float v = d.range(0.88F, 1.1F);
  return {c.r * v + d.range(-0.03F, 0.03F), c.g * v + d.range(-0.03F, 0.03F),
          c.b * v + d.range(-0.03F, 0.03F)};
}

Rgb pick_away_from(Rgb from, float distance, Draws& d) {
  const auto& colours = named_colours();
  Rgb c;
  for (int i = 0; i < 16; ++i) {
    c = colours[static_cast<std::size_t>(d.below(static_cast<int>(colours.size())))].value;
    if (difference(c, from) > distance) break;
  }
  return jitter(c, d);
}

void choose_product(Scene& s, Draws& d) {
  const auto& materials = s.category->materials;
  s.material = materials[static_cast<std::size_t>(d.below(static_cast<int>(materials.size())))];
  const auto& colours = named_colours();
  const NamedColour& main =
      colours[static_cast<std::size_t>(d.below(static_cast<int>(colours.size())))];
  s.colour = main.name;
  s.roles[0] = jitter(main.value, d);
  s.roles[1] = pick_away_from(s.roles[0], 0.18F, d);
  const float dark = d.range(0.06F, 0.2F), light = d.range(0.72F, 0.92F);
  s.roles[2] = mix(s.roles[0] * 0.35F, {dark, dark, dark}, 0.5F);
  s.roles[3] = {light, light, light * d.range(0.92F, 1.0F)};
  s.grain = d.seed();
  if (s.category->is_object) {
    s.parts = object_parts(s.category->object, d);
    s.background = pick_away_from(s.roles[0], 0.22F, d);
    s.background = mix(s.background, {0.5F, 0.5F, 0.5F}, d.range(0.2F, 0.7F));
    if (difference(s.background, s.roles[0]) < 0.14F) {
      const bool to_white = s.roles[0].r + s.roles[0].g + s.roles[0].b < 1.5F;
      s.background = mix(s.background, to_white ? Rgb{1, 1, 1} : Rgb{0, 0, 0}, 0.45F);
    }
    s.background_second = s.background * d.range(0.88F, 1.1F);
    static constexpr Texture kGrounds[] = {Texture::kPlain,   Texture::kPlain, Texture::kCarpet,
                                           Texture::kGranite, Texture::kWood,  Texture::kBrushed};
    s.background_look.texture = kGrounds[d.below(6)];
    s.background_look.scale = d.range(2.0F, 5.0F);
  } else {
    s.look.texture = s.category->texture;
    // A second colour of one family with the first for half of the textures.
    if (d.chance(0.5F)) s.roles[1] = s.roles[0] * (d.chance(0.5F) ? 0.55F : 1.5F);
    s.look.scale = d.range(2.2F, 6.5F);
    s.look.p = d.range(0.0F, 1.0F);
    s.look.q = d.range(0.0F, 1.0F);
  }
}

void choose_specimen(Scene& s, Draws& d, bool close_ups) {
  const float turn = s.category->is_object || d.chance(0.3F) ? d.angle() : d.range(-0.15F, 0.15F);
  s.cosine = std::cos(turn);
  s.sine = std::sin(turn);
  s.scale = d.range(0.72F, 0.96F);
  const float slack = std::max(0.0F, 0.94F - s.scale);
  s.x = d.range(-slack, slack);
  s.y = d.range(-slack, slack);
  s.look.seed = d.seed();
  s.look.cosine = s.cosine;
  s.look.sine = s.sine;
  s.look.scale *= d.range(0.9F, 1.1F);
  s.background_look.seed = d.seed();
  if (close_ups && d.chance(0.3F)) {
    s.view = d.range(0.45F, 0.9F);
    s.view_x = s.x + d.range(-0.4F, 0.4F) * s.scale;
    s.view_y = s.y + d.range(-0.4F, 0.4F) * s.scale;
  }
  const float light = d.angle();
  s.light_x = std::cos(light);
  s.light_y = std::sin(light);
  s.slope_x = d.range(-0.12F, 0.12F);
  s.slope_y = d.range(-0.12F, 0.12F);
  s.exposure = d.range(0.85F, 1.12F);
  s.blur = d.chance(0.6F) ? d.range(0.0F, 0.2F) : 0.0F;
  s.noise = d.range(0.0F, 0.03F);
  s.noise_seed = d.seed();
}

Scene make_scene(const DrawingRequest& request) {
  Scene scene;
  scene.category = &drawing_categories().at(static_cast<std::size_t>(request.category));
  Draws product(request.product_seed, "synth product");
  Draws specimen(request.specimen_seed, "synth specimen");
  choose_product(scene, product);
  choose_specimen(scene, specimen, request.close_ups);
  return scene;
}

DefectSite find_site(const Scene& s, const Canvas& canvas, Draws& d) {
  DefectSite site;
  site.is_object = s.category->is_object;
  const float pixel = 2.0F * s.view / static_cast<float>(canvas.size);
  std::vector<std::size_t> inside, edge;
  const int margin = canvas.size / 12;  // Not at the picture's border.
  for (int row = margin; row < canvas.size - margin; ++row) {
    for (int column = margin; column < canvas.size - margin; ++column) {
      const std::size_t i = canvas.at(row, column);
      if (canvas.object[i] > 0.98F) inside.push_back(i);
      if (canvas.object[i] > 0.25F && canvas.object[i] < 0.8F) edge.push_back(i);
    }
  }
  const auto place = [&](const std::vector<std::size_t>& from, float& x, float& y) {
    if (from.empty()) return std::size_t{0};
    const std::size_t i = from[static_cast<std::size_t>(d.below(static_cast<int>(from.size())))];
    const auto n = static_cast<std::size_t>(canvas.size);
    x = s.view_x - s.view + (static_cast<float>(i % n) + 0.5F) * pixel;
    y = s.view_y - s.view + (static_cast<float>(i / n) + 0.5F) * pixel;
    return i;
  };
  const std::size_t at = place(inside, site.x, site.y);
  site.surface = canvas.colour[at];
  site.edge_x = site.x;
  site.edge_y = site.y;
  place(edge, site.edge_x, site.edge_y);
  site.centre_x = s.x;
  site.centre_y = s.y;
  site.size = s.scale;
  return site;
}

/// Where the defective canvas differs for a person's eye.
std::vector<std::uint8_t> changed_pixels(const Scene& s,
                                         const Defect& defect,
                                         const Canvas& normal,
                                         const Canvas& spoiled) {
  const int n = normal.size;
  const float pixel = 2.0F * s.view / static_cast<float>(n);
  std::vector<std::uint8_t> mask(normal.colour.size());
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      const std::size_t i = normal.at(row, column);
      bool changed = difference(normal.colour[i], spoiled.colour[i]) > kChanged;
      for (std::size_t k = 0; !changed && k < defect.layers.size(); ++k) {
        const Layer& l = defect.layers[k];
        const float cover =
            layer_coverage(l, s.view_x - s.view + (static_cast<float>(column) + 0.5F) * pixel,
                           s.view_y - s.view + (static_cast<float>(row) + 0.5F) * pixel, pixel);
        changed = cover * l.opacity * (l.on_object ? spoiled.object[i] : 1.0F) > kCovered;
      }
      mask[i] = changed ? 1 : 0;
    }
  }
  return mask;
}

Drawing describe(const Scene& scene, const Canvas& canvas) {
  Drawing drawing;
  drawing.size = canvas.size;
  drawing.pixels = photograph(scene, canvas);
  drawing.mask.assign(canvas.colour.size(), 0);
  drawing.category = scene.category->name;
  drawing.material = material_name(scene.material);
  drawing.colour = scene.colour;
  drawing.is_object = scene.category->is_object;
  return drawing;
}

}  // namespace

Drawing draw_normal(const DrawingRequest& request) {
  const Scene scene = make_scene(request);
  return describe(scene, paint(scene, nullptr, request.size));
}

DrawingTwins draw_twins(const DrawingRequest& request) {
  const Scene scene = make_scene(request);
  const Canvas normal = paint(scene, nullptr, request.size);
  DrawingTwins twins;
  twins.normal = describe(scene, normal);
  const RandomStream attempts(request.specimen_seed, "synth defect");
  float best = -1.0F;
  for (std::uint64_t attempt = 0; attempt < kAttempts; ++attempt) {
    Draws draws(attempts.bits(attempt), "synth defect");
    const DefectSite site = find_site(scene, normal, draws);
    const Defect defect = make_defect(request.defect, site, draws);
    const Canvas spoiled = paint(scene, &defect, request.size);
    std::vector<std::uint8_t> mask = changed_pixels(scene, defect, normal, spoiled);
    float area = 0.0F, change = 0.0F;
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] == 0) continue;
      area += 1.0F;
      change += difference(normal.colour[i], spoiled.colour[i]);
    }
    const float share = area / static_cast<float>(mask.size());
    const float mean_change = area > 0.0F ? change / area : 0.0F;
    const float visibility =
        std::min({share / kSmallestShare, mean_change / kFaintestChange, 1.0F});
    if (visibility > best) {
      best = visibility;
      twins.defective = describe(scene, spoiled);
      twins.defective.mask = std::move(mask);
      twins.defective.defect = defect_name(request.defect);
    }
    if (best >= 1.0F) break;
  }
  return twins;
}

}  // namespace assay
