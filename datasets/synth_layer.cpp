#include "datasets/synth_defect.h"

#include <algorithm>

namespace assay {
namespace {

/// Distance of a point to a polyline.
float distance_to(const std::vector<Layer::Point>& points, float x, float y) {
  float best = 9.0F;
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const float ax = points[i].x, ay = points[i].y;
    const float bx = points[i + 1].x - ax, by = points[i + 1].y - ay;
    const float t = clamp01(((x - ax) * bx + (y - ay) * by) / (bx * bx + by * by + 1e-9F));
    const float dx = x - ax - t * bx, dy = y - ay - t * by;
    best = std::min(best, dx * dx + dy * dy);
  }
  return std::sqrt(best);
}

/// Radius of a point relative to the roughened ellipse: 1 on the outline.
float blob_radius(const Layer& l, float x, float y) {
  const float dx = x - l.x, dy = y - l.y;
  const float c = std::cos(l.angle), s = std::sin(l.angle);
  const float u = (c * dx + s * dy) / l.a, v = (-s * dx + c * dy) / l.b;
  const float r = std::sqrt(u * u + v * v);
  if (l.rough == 0.0F || r > 2.0F) return r;
  const float n = fractal_noise(u * 2.2F + 50.0F, v * 2.2F + 50.0F, l.seed, 2);
  return r + l.rough * 1.4F * (n - 0.5F);
}

}  // namespace

float layer_coverage(const Layer& l, float x, float y, float pixel) {
  if (l.form == Layer::Form::kLine) {
    if (std::max(std::abs(x - l.x), std::abs(y - l.y)) > l.b + pixel) return 0.0F;
    return clamp01(0.5F - (distance_to(l.points, x, y) - l.a) / pixel);
  }
  const float reach = 1.5F * std::max(l.a, l.b) + l.c;
  if (std::max(std::abs(x - l.x), std::abs(y - l.y)) > reach &&
      (l.form == Layer::Form::kBlob || l.form == Layer::Form::kRing)) {
    return 0.0F;
  }
  const float r = blob_radius(l, x, y);
  const float small = std::min(l.a, l.b);
  if (l.form == Layer::Form::kRing) {
    return clamp01(0.5F - (std::abs(r - 1.0F) * small - l.c) / pixel);
  }
  const float body = l.soft > 0.0F ? smooth_step(1.0F + 0.5F * l.soft, 1.0F - l.soft, r)
                                   : clamp01(0.5F - (r - 1.0F) * small / pixel);
  if (body <= 0.0F) return 0.0F;
  switch (l.form) {
    case Layer::Form::kSpots: {
      const CellDistances cells = cell_noise(x * l.c + 40.0F, y * l.c + 40.0F, l.seed);
      const float radius = 0.2F + 0.2F * cells.id;
      const float spot = l.soft > 0.3F ? smooth_step(radius * 1.8F, radius * 0.5F, cells.nearest)
                                       : clamp01(0.5F - (cells.nearest - radius) / (pixel * l.c));
      return body * spot;
    }
    case Layer::Form::kPatchy: {
      const float n = fractal_noise(x * l.c + 40.0F, y * l.c + 40.0F, l.seed, 3);
      return body * smooth_step(0.42F, 0.52F, n);
    }
    case Layer::Form::kHatch: {
      const float c = std::cos(l.angle), s = std::sin(l.angle);
      const float along = c * x + s * y, across = -s * x + c * y;
      const float n = value_noise(along * 1.5F + 40.0F, across * l.c + 40.0F, l.seed);
      return body * smooth_step(0.5F, 0.65F, n);
    }
    default: return body;
  }
}

float layer_relief(const Layer& l, float x, float y, float light_x, float light_y) {
  const float r = blob_radius(l, x, y);
  if (r >= 1.0F) return 0.0F;
  // A spherical cap: the slope grows to the rim.
  const float scale = 1.0F / std::max(l.a, 1e-3F);
  return ((x - l.x) * light_x + (y - l.y) * light_y) * scale;
}

void apply_warp(const Warp& w, float& x, float& y) {
  if (w.form == Warp::Form::kNone) return;
  const float dx = x - w.x, dy = y - w.y;
  const float c = std::cos(w.angle), s = std::sin(w.angle);
  const float u = c * dx + s * dy;
  const float r = std::sqrt(dx * dx + dy * dy) / w.radius;
  switch (w.form) {
    case Warp::Form::kBend: {
      const float beyond = std::max(0.0F, u + 0.1F * w.radius);
      float shift = w.strength * beyond * beyond / w.radius;
      if (w.local) shift *= 4.0F * smooth_step(1.0F, 0.5F, r);
      x += -s * shift;
      y += c * shift;
      break;
    }
    case Warp::Form::kPinch: {
      if (r >= 1.0F) return;
      const float k = w.strength * (1.0F - r) * (1.0F - r) * 2.0F;
      x -= dx * k;
      y -= dy * k;
      break;
    }
    case Warp::Form::kSwirl: {
      if (r >= 1.0F) return;
      const float t = w.strength * (1.0F - r) * (1.0F - r);
      x = w.x + std::cos(t) * dx - std::sin(t) * dy;
      y = w.y + std::sin(t) * dx + std::cos(t) * dy;
      break;
    }
    case Warp::Form::kWave: {
      if (r >= 1.0F) return;
      const float k = w.strength * (1.0F - r * r) * std::sin(u * 14.0F);
      x += -s * k;
      y += c * k;
      break;
    }
    case Warp::Form::kFold: {
      // A strip beyond the line is hidden below the fold, and what follows is stretched.
      if (u <= 0.0F || u > 2.5F * w.radius) return;
      const float shift = w.radius * (1.0F - u / (2.5F * w.radius));
      x += c * shift;
      y += s * shift;
      break;
    }
    case Warp::Form::kSmear: {
      if (r >= 1.0F) return;
      const float keep = smooth_step(0.6F, 1.0F, r);
      x -= c * u * (1.0F - keep);
      y -= s * u * (1.0F - keep);
      break;
    }
    case Warp::Form::kNone: break;
  }
}

}  // namespace assay
