#include "datasets/synth_scene.h"

#include <algorithm>

namespace assay {
namespace {

constexpr float kPi = 3.14159265F;

}  // namespace

float signed_distance(const Part& p, float x, float y) {
  switch (p.outline) {
    case Outline::kEllipse: {
      // First-order distance: exact for circles.
      const float k0 = std::sqrt(x * x / (p.a * p.a) + y * y / (p.b * p.b));
      const float k1 = std::sqrt(x * x / (p.a * p.a * p.a * p.a) + y * y / (p.b * p.b * p.b * p.b));
      return k1 < 1e-6F ? -std::min(p.a, p.b) : k0 * (k0 - 1.0F) / k1;
    }
    case Outline::kBox: {
      const float qx = std::abs(x) - (p.a - p.c), qy = std::abs(y) - (p.b - p.c);
      const float ox = std::max(qx, 0.0F), oy = std::max(qy, 0.0F);
      return std::sqrt(ox * ox + oy * oy) + std::min(std::max(qx, qy), 0.0F) - p.c;
    }
    case Outline::kRing: return std::abs(std::sqrt(x * x + y * y) - p.a) - p.b;
    case Outline::kPolygon: {
      const float half = kPi / p.c;
      const float t = std::atan2(y, x);
      const float folded =
          t - 2.0F * half * static_cast<float>(floor_int(t / (2.0F * half))) - half;
      return std::sqrt(x * x + y * y) * std::cos(folded) - p.a * std::cos(half);
    }
    case Outline::kGear: {
      const float wave = std::clamp(2.5F * std::sin(p.c * std::atan2(y, x)), -1.0F, 1.0F);
      return 0.8F * (std::sqrt(x * x + y * y) - p.a - p.b * wave);
    }
    case Outline::kStar: {
      const float f = fraction(std::atan2(y, x) * p.c / (2.0F * kPi));
      return 0.6F * (std::sqrt(x * x + y * y) - p.b - (p.a - p.b) * std::abs(2.0F * f - 1.0F));
    }
    case Outline::kLeaf: return 0.8F * (std::abs(y) - p.b * (1.0F - x * x / (p.a * p.a)));
  }
  return 1.0F;
}

float bounding_radius(const Part& p) {
  switch (p.outline) {
    case Outline::kBox: return std::sqrt(p.a * p.a + p.b * p.b);
    case Outline::kPolygon: return p.a;
    case Outline::kStar: return std::max(p.a, p.b);
    case Outline::kRing:
    case Outline::kGear: return p.a + p.b;
    default: return std::max(p.a, p.b);
  }
}

}  // namespace assay
