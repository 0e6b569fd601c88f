#include "datasets/synth_drawing.h"

#include <algorithm>

namespace assay {
namespace {

/// A mask pixel: covered by a layer at least this much, or this far from the flawless colour.
constexpr float kCovered = 0.3F, kChanged = 0.05F;
/// What a defect must reach to be seen: share of the picture, mean change of its pixels.
constexpr float kSmallestShare = 0.0012F, kFaintestChange = 0.08F;
constexpr int kAttempts = 24;

float difference(Rgb a, Rgb b) {
  return (std::abs(a.r - b.r) + std::abs(a.g - b.g) + std::abs(a.b - b.b)) / 3.0F;
}

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
    s.background_second = s.background * d.range(0.75F, 1.2F);
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
  s.scale = d.range(0.62F, 0.94F);
  const float slack = std::max(0.0F, 0.92F - s.scale);
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

class Painter {
 public:
  Painter(const Scene& scene, const Defect* defect, int size)
      : s_(scene),
        defect_(defect),
        canvas_(size),
        pixel_(2.0F * scene.view / static_cast<float>(size)) {}

  Canvas paint() {
    if (s_.category->is_object) {
      paint_background();
      paint_object();
    } else {
      paint_texture();
    }
    if (defect_ != nullptr) {
      for (const Layer& layer : defect_->layers) paint_layer(layer);
    }
    return std::move(canvas_);
  }

 private:
  [[nodiscard]] float x_of(int column) const {
    return s_.view_x - s_.view + (static_cast<float>(column) + 0.5F) * pixel_;
  }
  [[nodiscard]] float y_of(int row) const {
    return s_.view_y - s_.view + (static_cast<float>(row) + 0.5F) * pixel_;
  }
  [[nodiscard]] int index_of(float coordinate, float centre) const {
    const float i = (coordinate - centre + s_.view) / pixel_;
    return static_cast<int>(std::clamp(i, 0.0F, static_cast<float>(canvas_.size)));
  }
  /// Calls f(row, column, x, y) for the pixels within `reach` of a point.
  template <typename F>
  void for_pixels(float x, float y, float reach, F f) {
    const int row_end = std::min(canvas_.size, index_of(y + reach, s_.view_y) + 1);
    const int column_end = std::min(canvas_.size, index_of(x + reach, s_.view_x) + 1);
    for (int row = index_of(y - reach, s_.view_y); row < row_end; ++row) {
      for (int column = index_of(x - reach, s_.view_x); column < column_end; ++column) {
        f(row, column, x_of(column), y_of(row));
      }
    }
  }
  [[nodiscard]] bool warped() const {
    return defect_ != nullptr && defect_->warp.form != Warp::Form::kNone;
  }

  void paint_texture() {
    for_pixels(s_.view_x, s_.view_y, 2.0F * s_.view, [&](int row, int column, float x, float y) {
      if (warped()) apply_warp(defect_->warp, x, y);
      const Tone tone = texture_tone(s_.look, x, y, pixel_);
      const float grain = 0.5F + 0.5F * material_grain(s_.material, x, y, s_.grain);
      canvas_.colour[canvas_.at(row, column)] =
          mix(s_.roles[0], s_.roles[1], tone.mix) * (tone.shade * grain);
    });
  }

  void paint_background() {
    canvas_.behind.resize(canvas_.colour.size());
    std::fill(canvas_.object.begin(), canvas_.object.end(), 0.0F);
    for_pixels(s_.view_x, s_.view_y, 2.0F * s_.view, [&](int row, int column, float x, float y) {
      const Tone tone = texture_tone(s_.background_look, x, y, pixel_);
      canvas_.behind[canvas_.at(row, column)] =
          mix(s_.background, s_.background_second, tone.mix) * tone.shade;
    });
    canvas_.colour = canvas_.behind;
  }

  void paint_object() {
    for (std::size_t i = 0; i < s_.parts.size(); ++i) {
      Part part = s_.parts[i];
      if (defect_ != nullptr && defect_->edit.part == static_cast<int>(i)) {
        const PartEdit& edit = defect_->edit;
        if (edit.form == PartEdit::Form::kRemove) continue;
        if (edit.form == PartEdit::Form::kMove) {
          part.x += edit.dx;
          part.y += edit.dy;
          part.angle += edit.turn;
        }
        if (edit.form == PartEdit::Form::kRecolour) {
          part.role = part.role == Role::kSecond ? Role::kDark : Role::kSecond;
        }
      }
      paint_part(part);
    }
  }

  void paint_part(const Part& part) {
    const float c = std::cos(part.angle), s = std::sin(part.angle);
    const float width = pixel_ / s_.scale;  // A pixel in the object's frame.
    const float bevel = 0.07F;
    const float gloss = material_gloss(s_.material);
    // The part's centre in the picture.
    const float cx = s_.x + s_.scale * (s_.cosine * part.x - s_.sine * part.y);
    const float cy = s_.y + s_.scale * (s_.sine * part.x + s_.cosine * part.y);
    const float reach = warped() ? 4.0F : s_.scale * bounding_radius(part) + 2.0F * pixel_;
    // The light in the part's frame.
    const float lx = s_.cosine * s_.light_x + s_.sine * s_.light_y;
    const float ly = -s_.sine * s_.light_x + s_.cosine * s_.light_y;
    const float part_lx = c * lx + s * ly, part_ly = -s * lx + c * ly;
    for_pixels(cx, cy, reach, [&](int row, int column, float x, float y) {
      if (warped()) apply_warp(defect_->warp, x, y);
      const float ix = (x - s_.x) / s_.scale, iy = (y - s_.y) / s_.scale;
      const float ox = s_.cosine * ix + s_.sine * iy, oy = -s_.sine * ix + s_.cosine * iy;
      const float px = c * (ox - part.x) + s * (oy - part.y);
      const float py = -s * (ox - part.x) + c * (oy - part.y);
      const float d = signed_distance(part, px, py);
      const float cover = clamp01(0.5F - d / width);
      if (cover <= 0.0F) return;
      const std::size_t i = canvas_.at(row, column);
      if (part.role == Role::kCut) {
        canvas_.colour[i] = mix(canvas_.colour[i], canvas_.behind[i] * 0.85F, cover);
        canvas_.object[i] *= 1.0F - cover;
        return;
      }
      float shade = material_grain(s_.material, ox, oy, s_.grain);
      if (part.relief != 0.0F && d > -bevel) {
        const float e = 0.01F;
        const float nx = (signed_distance(part, px + e, py) - d) / e;
        const float ny = (signed_distance(part, px, py + e) - d) / e;
        const float facing = nx * part_lx + ny * part_ly;
        shade += part.relief * (0.18F + 0.4F * gloss) * facing * (1.0F + d / bevel);
      } else {
        shade += 0.12F * (ox * lx + oy * ly);
      }
      const Rgb colour = s_.roles[static_cast<int>(part.role)] * std::max(shade, 0.05F);
      canvas_.colour[i] = mix(canvas_.colour[i], colour, cover);
      canvas_.object[i] += (1.0F - canvas_.object[i]) * cover;
    });
  }

  void paint_layer(const Layer& layer) {
    const float reach = layer.form == Layer::Form::kLine
                            ? layer.b + pixel_
                            : 1.6F * std::max(layer.a, layer.b) + layer.c * 0.05F + pixel_;
    Rgb mean;
    if (layer.paint == Paint::kFlatten) mean = mean_colour();
    for_pixels(layer.x, layer.y, reach, [&](int row, int column, float x, float y) {
      const std::size_t i = canvas_.at(row, column);
      float cover = layer_coverage(layer, x, y, pixel_);
      if (cover <= 0.0F) return;
      if (layer.on_object) cover *= canvas_.object[i];
      const float alpha = cover * layer.opacity;
      Rgb& colour = canvas_.colour[i];
      switch (layer.paint) {
        case Paint::kColour: colour = mix(colour, layer.colour, alpha); break;
        case Paint::kMultiply:
          colour =
              mix(colour,
                  {colour.r * layer.colour.r, colour.g * layer.colour.g, colour.b * layer.colour.b},
                  alpha);
          break;
        case Paint::kBackground:
          colour = mix(colour, canvas_.behind.empty() ? layer.colour : canvas_.behind[i], alpha);
          break;
        case Paint::kRelief:
          colour = colour *
                   std::max(0.1F, 1.0F + alpha * layer_relief(layer, x, y, s_.light_x, s_.light_y));
          break;
        case Paint::kFlatten: colour = mix(colour, mean, alpha); break;
      }
    });
  }

  [[nodiscard]] Rgb mean_colour() const {
    double r = 0.0, g = 0.0, b = 0.0;
    for (const Rgb& c : canvas_.colour) {
      r += c.r;
      g += c.g;
      b += c.b;
    }
    const auto n = static_cast<double>(canvas_.colour.size());
    return {static_cast<float>(r / n), static_cast<float>(g / n), static_cast<float>(b / n)};
  }

  const Scene& s_;
  const Defect* defect_;
  Canvas canvas_;
  float pixel_;
};

/// Light, lens and sensor: from colours to bytes. Twins get the same noise.
std::vector<std::uint8_t> photograph(const Scene& s, const Canvas& canvas) {
  const int n = canvas.size;
  std::vector<Rgb> lit(canvas.colour.size());
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      const float x = 2.0F * static_cast<float>(column) / static_cast<float>(n) - 1.0F;
      const float y = 2.0F * static_cast<float>(row) / static_cast<float>(n) - 1.0F;
      const std::size_t i = canvas.at(row, column);
      lit[i] = canvas.colour[i] * (s.exposure * (1.0F + s.slope_x * x + s.slope_y * y));
    }
  }
  std::vector<std::uint8_t> bytes(lit.size() * 3);
  const float side = s.blur, middle = 1.0F - 4.0F * s.blur;
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      const std::size_t i = canvas.at(row, column);
      const Rgb &l = lit[canvas.at(row, std::max(column - 1, 0))],
                &r = lit[canvas.at(row, std::min(column + 1, n - 1))],
                &u = lit[canvas.at(std::max(row - 1, 0), column)],
                &d = lit[canvas.at(std::min(row + 1, n - 1), column)];
      const float out[3] = {middle * lit[i].r + side * (l.r + r.r + u.r + d.r),
                            middle * lit[i].g + side * (l.g + r.g + u.g + d.g),
                            middle * lit[i].b + side * (l.b + r.b + u.b + d.b)};
      for (int channel = 0; channel < 3; ++channel) {
        // The sum of four uniform numbers: near enough to a normal one.
        const std::uint32_t h = lattice_hash(column * 3 + channel, row, s.noise_seed);
        const float noise =
            (static_cast<float>((h & 255U) + ((h >> 8) & 255U) + ((h >> 16) & 255U) + (h >> 24)) -
             510.0F) /
            148.0F;
        const float value = clamp01(out[channel] + s.noise * noise);
        bytes[i * 3 + static_cast<std::size_t>(channel)] =
            static_cast<std::uint8_t>(value * 255.0F + 0.5F);
      }
    }
  }
  return bytes;
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
  for (std::size_t i = 0; i < s.parts.size(); ++i) {
    if (s.parts[i].detail) site.details.push_back(static_cast<int>(i));
  }
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
  return describe(scene, Painter(scene, nullptr, request.size).paint());
}

DrawingTwins draw_twins(const DrawingRequest& request) {
  const Scene scene = make_scene(request);
  const Canvas normal = Painter(scene, nullptr, request.size).paint();
  DrawingTwins twins;
  twins.normal = describe(scene, normal);
  const RandomStream attempts(request.specimen_seed, "synth defect");
  float best = -1.0F;
  for (std::uint64_t attempt = 0; attempt < kAttempts; ++attempt) {
    Draws draws(attempts.bits(attempt), "synth defect");
    const DefectSite site = find_site(scene, normal, draws);
    const Defect defect = make_defect(request.defect, site, draws);
    const Canvas spoiled = Painter(scene, &defect, request.size).paint();
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
