#include "datasets/synth_defect.h"

#include <algorithm>

namespace assay {
namespace {

constexpr float kPi = 3.14159265F;

Layer blob_at(const DefectSite& s, Draws& d, float low, float high, float rough, float soft) {
  Layer l;
  l.x = s.x;
  l.y = s.y;
  l.a = d.range(low, high) * (s.is_object ? std::max(s.size, 0.45F) : 0.9F);
  l.b = l.a * d.range(0.6F, 1.0F);
  l.angle = d.angle();
  l.rough = rough;
  l.soft = soft;
  l.seed = d.seed();
  return l;
}

Layer stroke(float x, float y, float angle, float length, float bow, float half_width) {
  Layer l;
  l.form = Layer::Form::kLine;
  l.a = half_width;
  l.x = x;
  l.y = y;
  const float c = std::cos(angle), s = std::sin(angle);
  for (int i = 0; i <= 6; ++i) {
    const float t = static_cast<float>(i) / 3.0F - 1.0F;
    const float along = 0.5F * length * t, aside = bow * (1.0F - t * t);
    l.points.push_back({x + along * c - aside * s, y + along * s + aside * c});
  }
  l.b = 0.5F * length + std::abs(bow) + half_width;
  return l;
}

Rgb away_from(Rgb surface, Draws& d) {
  const float luma = 0.3F * surface.r + 0.6F * surface.g + 0.1F * surface.b;
  const float v = luma < 0.45F ? d.range(0.75F, 0.95F) : d.range(0.03F, 0.15F);
  return {v, v, v};
}

void add_gouge(Defect& f, const DefectSite& s, Draws& d) {
  const float size = s.is_object ? s.size : 0.9F;
  Layer l = stroke(s.x, s.y, d.angle(), d.range(0.4F, 0.8F) * size, d.range(-0.1F, 0.1F),
                   d.range(0.05F, 0.09F));
  l.paint = Paint::kMultiply;
  l.colour = {0.4F, 0.4F, 0.4F};
  Layer edge = l;
  edge.a *= 0.4F;
  for (Layer::Point& p : edge.points) {
    p.x -= 0.03F;
    p.y -= 0.03F;
  }
  edge.paint = Paint::kColour;
  edge.colour = {0.95F, 0.95F, 0.95F};
  edge.opacity = 0.6F;
  f.layers = {l, edge};
}

void add_wrinkles(Defect& f, const DefectSite& s, Draws& d) {
  const float angle = d.angle(), c = std::cos(angle), n = std::sin(angle);
  const int lines = 3 + d.below(3);
  for (int i = 0; i < lines; ++i) {
    const float off = 0.1F * (static_cast<float>(i) - 0.5F * static_cast<float>(lines));
    Layer dark = stroke(s.x - off * n, s.y + off * c, angle, d.range(0.35F, 0.7F),
                        d.range(0.03F, 0.1F), 0.022F);
    dark.paint = Paint::kMultiply;
    dark.colour = {0.45F, 0.45F, 0.45F};
    Layer light = dark;
    for (Layer::Point& p : light.points) p.y -= 0.035F;
    light.paint = Paint::kColour;
    light.colour = {0.95F, 0.95F, 0.95F};
    light.opacity = 0.5F;
    f.layers.push_back(dark);
    f.layers.push_back(light);
  }
}

void add_fray(Defect& f, const DefectSite& s, Draws& d) {
  const float x = s.is_object ? s.edge_x : s.x, y = s.is_object ? s.edge_y : s.y;
  const float out = s.is_object ? std::atan2(y - s.centre_y, x - s.centre_x) : d.angle();
  const int n = 7 + d.below(6);
  const Rgb colour = s.is_object ? s.surface * 1.15F : away_from(s.surface, d);
  for (int i = 0; i < n; ++i) {
    const float angle = out + d.range(-0.7F, 0.7F), length = d.range(0.14F, 0.34F);
    Layer l = stroke(x + 0.4F * length * std::cos(angle) + d.range(-0.09F, 0.09F),
                     y + 0.4F * length * std::sin(angle) + d.range(-0.09F, 0.09F), angle, length,
                     d.range(-0.05F, 0.05F), 0.014F);
    l.colour = colour * d.range(0.85F, 1.1F);
    l.on_object = false;
    f.layers.push_back(l);
  }
}

void add_peel(Defect& f, const DefectSite& s, Draws& d) {
  Layer bare = blob_at(s, d, 0.22F, 0.4F, 0.25F, 0.0F);
  bare.colour = away_from(s.surface, d);
  bare.opacity = 0.75F;
  Layer shadow = bare;
  shadow.x += 0.05F;
  shadow.y += 0.06F;
  shadow.paint = Paint::kMultiply;
  shadow.colour = {0.4F, 0.4F, 0.4F};
  Layer lip = bare;
  lip.form = Layer::Form::kRing;
  lip.c = 0.025F;
  lip.colour = {0.9F, 0.9F, 0.88F};
  f.layers = {shadow, bare, lip};
}

/// What is wiped leaves a film.
void add_film(Defect& f, const DefectSite& s, Draws& d) {
  Layer l = stroke(s.x, s.y, f.warp.angle, 1.6F * f.warp.radius, d.range(-0.05F, 0.05F),
                   0.35F * f.warp.radius);
  l.soft = 0.4F;
  l.colour = mix(s.surface, away_from(s.surface, d), 0.4F);
  l.opacity = d.range(0.5F, 0.8F);
  f.layers.push_back(l);
}

/// A surface that is out of shape catches the light.
void add_slope(Defect& f, Draws& d) {
  Layer l;
  l.x = f.warp.x;
  l.y = f.warp.y;
  l.a = l.b = 0.8F * f.warp.radius;
  l.paint = Paint::kRelief;
  l.opacity = d.sign() * d.range(0.45F, 0.75F);
  l.soft = 0.3F;
  f.layers.push_back(l);
}

void add_cells(Defect& f, const DefectSite& s, Draws& d) {
  Layer l = blob_at(s, d, 0.25F, 0.48F, 0.3F, 0.1F);
  switch (f.kind) {
    case DefectKind::kRust:
      l.form = Layer::Form::kPatchy;
      l.c = d.range(5.0F, 8.0F);
      l.colour = {d.range(0.5F, 0.65F), d.range(0.22F, 0.32F), 0.08F};
      l.opacity = 0.92F;
      break;
    case DefectKind::kPunctures:
      l.form = Layer::Form::kSpots;
      l.c = d.range(5.0F, 8.0F);
      l.rough = 0.0F;
      l.colour = {0.03F, 0.03F, 0.03F};
      break;
    case DefectKind::kPitting:
      l.form = Layer::Form::kSpots;
      l.c = d.range(9.0F, 13.0F);
      l.paint = Paint::kMultiply;
      l.colour = {0.3F, 0.3F, 0.3F};
      break;
    case DefectKind::kCrust:
      l.form = Layer::Form::kPatchy;
      l.c = d.range(9.0F, 14.0F);
      l.colour = {0.88F, 0.87F, 0.8F};
      l.opacity = 0.95F;
      if (s.surface.r + s.surface.g + s.surface.b > 1.9F) l.colour = {0.3F, 0.28F, 0.2F};
      break;
    default:  // kMould
      l.form = Layer::Form::kSpots;
      l.c = d.range(4.5F, 7.0F);
      l.soft = 0.6F;
      l.colour = {0.32F, 0.42F, 0.3F};
      l.opacity = 0.9F;
      if (s.surface.g < 0.5F && s.surface.g > 0.25F) l.colour = {0.8F, 0.85F, 0.78F};
      break;
  }
  f.layers.push_back(l);
}

}  // namespace

void add_unseen_defect(Defect& f, const DefectSite& s, Draws& d) {
  const float size = s.is_object ? s.size : 0.8F;
  f.warp.x = s.x;
  f.warp.y = s.y;
  f.warp.angle = d.angle();
  switch (f.kind) {
    case DefectKind::kGouge: add_gouge(f, s, d); break;
    case DefectKind::kWrinkles: add_wrinkles(f, s, d); break;
    case DefectKind::kFray: add_fray(f, s, d); break;
    case DefectKind::kPeel: add_peel(f, s, d); break;
    case DefectKind::kFold: {
      f.warp.form = Warp::Form::kFold;
      f.warp.radius = d.range(0.1F, 0.2F);
      Layer l = stroke(s.x, s.y, f.warp.angle + kPi / 2, 3.0F, 0.0F, 0.035F);
      l.paint = Paint::kMultiply;
      l.colour = {0.35F, 0.35F, 0.35F};
      f.layers.push_back(l);
      break;
    }
    case DefectKind::kSmear:
      f.warp.form = Warp::Form::kSmear;
      f.warp.radius = d.range(0.35F, 0.55F) * size;
      add_film(f, s, d);
      break;
    case DefectKind::kSwirl:
      f.warp.form = Warp::Form::kSwirl;
      f.warp.radius = d.range(0.35F, 0.6F) * size;
      f.warp.strength = d.sign() * d.range(2.0F, 3.5F);
      add_slope(f, d);
      break;
    case DefectKind::kWarp:
      f.warp.form = Warp::Form::kWave;
      f.warp.radius = d.range(0.4F, 0.65F) * size;
      f.warp.strength = d.range(0.08F, 0.14F);
      add_slope(f, d);
      break;
    case DefectKind::kWatermark: {
      Layer l = blob_at(s, d, 0.2F, 0.4F, 0.35F, 0.0F);
      l.form = Layer::Form::kRing;
      l.c = d.range(0.025F, 0.04F);
      l.colour = away_from(s.surface, d);
      l.opacity = d.range(0.5F, 0.8F);
      f.layers.push_back(l);
      break;
    }
    default: add_cells(f, s, d);
  }
}

}  // namespace assay
