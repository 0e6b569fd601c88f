#include "datasets/synth_defect.h"

#include <algorithm>
#include <array>

namespace assay {
namespace {

constexpr float kPi = 3.14159265F;

/// Dark on a light surface, light on a dark one.
Rgb contrast(Rgb surface, Draws& d) {
  const float luma = 0.3F * surface.r + 0.6F * surface.g + 0.1F * surface.b;
  const bool light = luma < 0.3F || (luma < 0.6F && d.chance(0.5F));
  const float v = light ? d.range(0.75F, 1.0F) : d.range(0.0F, 0.15F);
  return {v, v, v * d.range(0.9F, 1.0F)};
}

/// A named colour that differs from the surface.
Rgb other_colour(Rgb surface, Draws& d) {
  const auto& colours = named_colours();
  for (int trial = 0; trial < 12; ++trial) {
    const Rgb c =
        colours[static_cast<std::size_t>(d.below(static_cast<int>(colours.size())))].value;
    if (std::abs(c.r - surface.r) + std::abs(c.g - surface.g) + std::abs(c.b - surface.b) > 0.55F) {
      return c;
    }
  }
  return contrast(surface, d);
}

Layer blob(const DefectSite& s, Draws& d, float low, float high, float rough, float soft) {
  Layer l;
  l.x = s.x;
  l.y = s.y;
  const float size = s.is_object ? std::max(s.size, 0.45F) : 0.9F;
  l.a = d.range(low, high) * size;
  l.b = l.a * d.range(0.5F, 1.0F);
  l.angle = d.angle();
  l.rough = rough;
  l.soft = soft;
  l.seed = d.seed();
  return l;
}

/// A line from `(x, y)` in `steps` pieces; each turns by up to `wander`, the whole by `curve`.
Layer line(float x,
           float y,
           float angle,
           float length,
           int steps,
           float wander,
           float curve,
           float half_width,
           Draws& d) {
  Layer l;
  l.form = Layer::Form::kLine;
  l.a = half_width;
  l.seed = d.seed();
  const float step = length / static_cast<float>(steps);
  x -= 0.5F * length * std::cos(angle);
  y -= 0.5F * length * std::sin(angle);
  l.points.push_back({x, y});
  for (int i = 0; i < steps; ++i) {
    angle += curve / static_cast<float>(steps);
    const float turn = angle + d.range(-wander, wander);
    x += step * std::cos(turn);
    y += step * std::sin(turn);
    l.points.push_back({x, y});
  }
  float far = 0.0F;
  l.x = x;
  l.y = y;
  for (const Layer::Point& p : l.points) far = std::max(far, std::hypot(p.x - x, p.y - y));
  l.b = far + half_width;  // Bounds the layer.
  return l;
}

float length_on(const DefectSite& s, Draws& d, float low, float high) {
  return d.range(low, high) * (s.is_object ? std::max(s.size, 0.5F) : 0.9F);
}

void add_scratch(Defect& f, const DefectSite& s, Draws& d) {
  const float angle = d.angle();
  const Rgb colour = contrast(s.surface, d);
  const int n = 1 + (d.chance(0.35F) ? 1 + d.below(3) : 0);
  for (int i = 0; i < n; ++i) {
    const float off = 0.09F * static_cast<float>(i);
    Layer l = line(s.x - off * std::sin(angle), s.y + off * std::cos(angle),
                   angle + d.range(-0.1F, 0.1F), length_on(s, d, 0.5F, 1.5F), 5, 0.08F,
                   d.range(-0.5F, 0.5F), d.range(0.012F, 0.032F), d);
    l.colour = colour;
    l.opacity = d.range(0.65F, 1.0F);
    f.layers.push_back(l);
  }
}

void add_crack(Defect& f, const DefectSite& s, Draws& d) {
  const float angle = d.angle(), width = d.range(0.014F, 0.034F);
  Layer trunk = line(s.x, s.y, angle, length_on(s, d, 0.7F, 1.6F), 9, 0.75F, 0.0F, width, d);
  trunk.colour = mix({0.03F, 0.03F, 0.03F}, s.surface, 0.1F);
  trunk.opacity = d.range(0.8F, 1.0F);
  const int branches = d.below(4);
  f.layers.push_back(trunk);
  for (int i = 0; i < branches; ++i) {
    const Layer::Point p = trunk.points[static_cast<std::size_t>(2 + d.below(6))];
    const float length = length_on(s, d, 0.2F, 0.55F);
    const float turn = angle + d.sign() * d.range(0.5F, 1.2F);
    Layer l = line(p.x + 0.5F * length * std::cos(turn), p.y + 0.5F * length * std::sin(turn), turn,
                   length, 4, 0.6F, 0.0F, width * 0.75F, d);
    l.colour = trunk.colour;
    l.opacity = trunk.opacity;
    f.layers.push_back(l);
  }
}

void add_thread(Defect& f, const DefectSite& s, Draws& d) {
  Layer l = line(s.x, s.y, d.angle(), length_on(s, d, 0.8F, 1.8F), 14, 0.35F, d.range(-4.0F, 4.0F),
                 d.range(0.014F, 0.028F), d);
  l.colour = d.chance(0.5F) ? contrast(s.surface, d) : other_colour(s.surface, d);
  l.on_object = false;
  f.layers.push_back(l);
}

void add_print(Defect& f, const DefectSite& s, Draws& d) {
  const float angle = d.angle(), c = std::cos(angle), n = std::sin(angle);
  const Rgb ink = d.chance(0.5F) ? contrast(s.surface, d) : other_colour(s.surface, d);
  const int strokes = 4 + d.below(5);
  const float pitch = d.range(0.07F, 0.12F);
  for (int i = 0; i < strokes; ++i) {
    const float along = pitch * (static_cast<float>(i / 2) - 0.25F * static_cast<float>(strokes));
    Layer l = line(s.x + along * c, s.y + along * n, angle + (d.chance(0.5F) ? 0.0F : kPi / 2),
                   d.range(0.06F, 0.14F), 1, 0.2F, 0.0F, d.range(0.014F, 0.024F), d);
    l.colour = ink;
    f.layers.push_back(l);
  }
}

void add_specks(Defect& f, const DefectSite& s, Draws& d) {
  const Rgb colour = d.chance(0.5F) ? contrast(s.surface, d) : other_colour(s.surface, d);
  const int n = 2 + d.below(7);
  const float spread = d.range(0.1F, 0.35F);
  for (int i = 0; i < n; ++i) {
    Layer l = blob(s, d, 0.03F, 0.09F, 0.4F, 0.0F);
    l.x += spread * d.range(-1.0F, 1.0F);
    l.y += spread * d.range(-1.0F, 1.0F);
    l.colour = colour * d.range(0.8F, 1.1F);
    l.on_object = false;
    f.layers.push_back(l);
  }
}

void add_hole(Defect& f, const DefectSite& s, Draws& d) {
  Layer rim = blob(s, d, 0.09F, 0.24F, d.range(0.05F, 0.5F), 0.0F);
  Layer hole = rim;
  rim.paint = Paint::kMultiply;
  const float v = d.range(0.5F, 1.25F);
  rim.colour = {v, v, v};
  hole.a *= 0.82F;
  hole.b *= 0.82F;
  hole.paint = s.is_object && d.chance(0.5F) ? Paint::kBackground : Paint::kColour;
  hole.colour = Rgb{0.05F, 0.05F, 0.05F} * d.range(0.3F, 2.0F);
  f.layers.push_back(rim);
  f.layers.push_back(hole);
}

void add_edge_chip(Defect& f, const DefectSite& s, Draws& d, float low, float high) {
  Layer l = blob(s, d, low, high, 0.5F, 0.0F);
  if (s.is_object) {
    l.x = s.edge_x;
    l.y = s.edge_y;
    l.paint = Paint::kBackground;
  } else {
    l.colour = contrast(s.surface, d);
  }
  f.layers.push_back(l);
}

void add_simple_blob(Defect& f, const DefectSite& s, Draws& d) {
  switch (f.kind) {
    case DefectKind::kStain: {
      Layer l = blob(s, d, 0.15F, 0.4F, 0.4F, d.range(0.1F, 0.6F));
      l.paint = Paint::kMultiply;
      const float v = d.range(0.25F, 0.6F);
      l.colour = {v * d.range(1.0F, 1.5F), v, v * d.range(0.5F, 1.1F)};
      if (s.surface.r + s.surface.g + s.surface.b < 0.7F) {
        l.paint = Paint::kColour;
        l.colour = {d.range(0.4F, 0.7F), d.range(0.4F, 0.6F), d.range(0.3F, 0.5F)};
        l.opacity = 0.7F;
      }
      f.layers.push_back(l);
      break;
    }
    case DefectKind::kBurn: {
      Layer halo = blob(s, d, 0.2F, 0.42F, 0.3F, 0.8F);
      halo.paint = Paint::kMultiply;
      halo.colour = {0.45F, 0.28F, 0.16F};
      Layer core = halo;
      core.a *= 0.5F;
      core.b *= 0.5F;
      core.paint = Paint::kColour;
      core.colour = {0.06F, 0.04F, 0.03F};
      core.opacity = 0.9F;
      f.layers = {halo, core};
      break;
    }
    case DefectKind::kColourPatch: {
      Layer l = blob(s, d, 0.15F, 0.4F, d.range(0.0F, 0.5F), d.range(0.0F, 0.3F));
      l.colour = other_colour(s.surface, d);
      l.opacity = d.range(0.55F, 0.9F);
      f.layers.push_back(l);
      break;
    }
    case DefectKind::kSmudge: {
      Layer l = blob(s, d, 0.22F, 0.5F, 0.4F, 0.4F);
      l.paint = s.is_object ? Paint::kColour : Paint::kFlatten;
      const float v = d.range(0.35F, 0.65F);
      l.colour = {v, v, v};
      l.opacity = s.is_object ? d.range(0.5F, 0.75F) : 0.95F;
      f.layers.push_back(l);
      break;
    }
    case DefectKind::kGlue: {
      Layer l = blob(s, d, 0.14F, 0.34F, 0.45F, 0.05F);
      l.colour = {0.85F, 0.85F, d.range(0.55F, 0.85F)};
      l.opacity = d.range(0.45F, 0.7F);
      Layer relief = l;
      relief.paint = Paint::kRelief;
      relief.opacity = 0.5F;
      Layer shine = l;
      shine.a *= 0.25F;
      shine.b *= 0.25F;
      shine.x -= 0.3F * l.b;
      shine.y -= 0.3F * l.b;
      shine.colour = {1.0F, 1.0F, 1.0F};
      shine.opacity = 0.9F;
      f.layers = {l, relief, shine};
      break;
    }
    case DefectKind::kBubble: {
      const int n = 1 + d.below(3);
      for (int i = 0; i < n; ++i) {
        Layer ring = blob(s, d, 0.08F, 0.22F, 0.0F, 0.0F);
        ring.b = ring.a;
        ring.x += static_cast<float>(i) * d.range(-0.3F, 0.3F);
        ring.y += static_cast<float>(i) * d.range(-0.3F, 0.3F);
        Layer dome = ring;
        dome.paint = Paint::kRelief;
        dome.opacity = d.range(0.6F, 0.9F);
        ring.form = Layer::Form::kRing;
        ring.c = 0.022F;
        ring.colour = contrast(s.surface, d);
        ring.opacity = 0.7F;
        f.layers.push_back(dome);
        f.layers.push_back(ring);
      }
      break;
    }
    case DefectKind::kScuff: {
      Layer l = blob(s, d, 0.2F, 0.45F, 0.3F, 0.2F);
      l.form = Layer::Form::kHatch;
      l.c = d.range(9.0F, 16.0F);
      l.colour = contrast(s.surface, d);
      l.opacity = d.range(0.55F, 0.85F);
      f.layers.push_back(l);
      break;
    }
    default: break;
  }
}

void add_shape_change(Defect& f, const DefectSite& s, Draws& d) {
  const float size = s.is_object ? s.size : 0.8F;
  Warp& w = f.warp;
  w.x = s.x;
  w.y = s.y;
  w.angle = d.angle();
  switch (f.kind) {
    case DefectKind::kDent: {
      w.form = Warp::Form::kPinch;
      w.radius = d.range(0.25F, 0.5F) * size;
      w.strength = d.sign() * d.range(0.35F, 0.6F);
      Layer l = blob(s, d, 0.2F, 0.35F, 0.1F, 0.3F);
      l.paint = Paint::kRelief;
      l.opacity = d.sign() * d.range(0.55F, 0.9F);
      l.b = l.a = w.radius * 0.85F;
      f.layers.push_back(l);
      break;
    }
    case DefectKind::kBent:
      w.form = Warp::Form::kBend;
      w.x = s.centre_x;
      w.y = s.centre_y;
      w.radius = size;
      w.strength = d.sign() * d.range(0.35F, 0.7F);
      if (!s.is_object) {
        w.x = s.x;
        w.y = s.y;
        w.radius = d.range(0.35F, 0.6F);
        w.local = true;
      }
      break;
    case DefectKind::kCut: {
      const float angle = d.angle();
      Layer l = line(s.x, s.y, angle, length_on(s, d, 0.5F, 1.1F), 3, 0.1F, d.range(-0.4F, 0.4F),
                     d.range(0.02F, 0.045F), d);
      l.colour = {0.04F, 0.04F, 0.04F};
      if (s.is_object && d.chance(0.5F)) l.paint = Paint::kBackground;
      Layer lip = l;
      lip.a *= 1.9F;
      for (Layer::Point& p : lip.points) p.y -= 0.025F;
      lip.colour = {0.95F, 0.95F, 0.95F};
      lip.paint = Paint::kColour;
      lip.opacity = 0.45F;
      f.layers = {lip, l};
      break;
    }
    default: break;
  }
}

void add_broken(Defect& f, const DefectSite& s, Draws& d) {
  if (!s.is_object) {
    add_crack(f, s, d);
    add_edge_chip(f, s, d, 0.1F, 0.25F);
    return;
  }
  add_edge_chip(f, s, d, 0.35F, 0.7F);
}

}  // namespace

// synth_defect_unseen.cpp: kinds that pretraining never draws.
void add_unseen_defect(Defect& defect, const DefectSite& site, Draws& draws);

std::string_view defect_name(DefectKind kind) {
  static constexpr std::array<std::string_view, 32> kNames = {
      "scratch",   "stain", "hole",         "crack",     "dent",  "bent", "contamination",
      "thread",    "burn",  "colour_patch", "edge_chip", "print", "cut",  "bubble",
      "smudge",    "glue",  "broken",       "scuff",     "gouge", "rust", "fold",
      "punctures", "smear", "wrinkles",     "pitting",   "swirl", "peel", "fray",
      "watermark", "crust", "mould",        "warp"};
  return kNames[static_cast<std::size_t>(kind)];
}

Defect make_defect(DefectKind kind, const DefectSite& site, Draws& draws) {
  Defect defect;
  defect.kind = kind;
  switch (kind) {
    case DefectKind::kScratch: add_scratch(defect, site, draws); break;
    case DefectKind::kCrack: add_crack(defect, site, draws); break;
    case DefectKind::kThread: add_thread(defect, site, draws); break;
    case DefectKind::kPrint: add_print(defect, site, draws); break;
    case DefectKind::kContamination: add_specks(defect, site, draws); break;
    case DefectKind::kHole: add_hole(defect, site, draws); break;
    case DefectKind::kEdgeChip: add_edge_chip(defect, site, draws, 0.15F, 0.32F); break;
    case DefectKind::kBroken: add_broken(defect, site, draws); break;
    case DefectKind::kDent:
    case DefectKind::kBent:
    case DefectKind::kCut: add_shape_change(defect, site, draws); break;
    case DefectKind::kStain:
    case DefectKind::kBurn:
    case DefectKind::kColourPatch:
    case DefectKind::kSmudge:
    case DefectKind::kGlue:
    case DefectKind::kBubble:
    case DefectKind::kScuff: add_simple_blob(defect, site, draws); break;
    default: add_unseen_defect(defect, site, draws);
  }
  return defect;
}

}  // namespace assay
