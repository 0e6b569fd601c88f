#include "datasets/synth_scene.h"

#include <algorithm>
#include <utility>

namespace assay {
namespace {

constexpr float kPi = 3.14159265F;

/// Builds an object part by part.
class Builder {
 public:
  Part& ellipse(Role role, float x, float y, float a, float b, float angle = 0.0F) {
    return add({Outline::kEllipse, role, x, y, angle, a, b, 0.0F});
  }
  Part& circle(Role role, float x, float y, float radius) {
    return ellipse(role, x, y, radius, radius);
  }
  Part& box(
      Role role, float x, float y, float a, float b, float round = 0.03F, float angle = 0.0F) {
    return add({Outline::kBox, role, x, y, angle, a, b, std::min({round, a, b})});
  }
  Part& ring(Role role, float x, float y, float radius, float half_width) {
    return add({Outline::kRing, role, x, y, 0.0F, radius, half_width, 0.0F});
  }
  Part& polygon(Role role, float x, float y, float radius, int sides, float angle = 0.0F) {
    return add({Outline::kPolygon, role, x, y, angle, radius, 0.0F, static_cast<float>(sides)});
  }
  Part& gear(Role role, float radius, float tooth, int teeth) {
    return add({Outline::kGear, role, 0.0F, 0.0F, 0.0F, radius, tooth, static_cast<float>(teeth)});
  }
  Part& star(Role role, float x, float y, float outer, float inner, int points) {
    return add({Outline::kStar, role, x, y, 0.0F, outer, inner, static_cast<float>(points)});
  }
  Part& leaf(Role role, float x, float y, float a, float b, float angle = 0.0F) {
    return add({Outline::kLeaf, role, x, y, angle, a, b, 0.0F});
  }
  /// A bar between two points.
  Part& bar(Role role, float x0, float y0, float x1, float y1, float half_width) {
    const float dx = x1 - x0, dy = y1 - y0;
    const float half = 0.5F * std::sqrt(dx * dx + dy * dy);
    return box(role, 0.5F * (x0 + x1), 0.5F * (y0 + y1), half + half_width, half_width, half_width,
               std::atan2(dy, dx));
  }
  /// `n` circles around the centre.
  void circles_around(Role role, int n, float distance, float radius, float phase = 0.0F) {
    for (int i = 0; i < n; ++i) {
      const float t = phase + 2.0F * kPi * static_cast<float>(i) / static_cast<float>(n);
      circle(role, distance * std::cos(t), distance * std::sin(t), radius);
    }
  }
  static Part& flat(Part& part) {
    part.relief = 0.0F;
    return part;
  }
  std::vector<Part> take() { return std::move(parts_); }

 private:
  Part& add(Part part) {
    parts_.push_back(part);
    return parts_.back();
  }
  std::vector<Part> parts_;
};

void round_things(Object object, Draws& d, Builder& o) {
  switch (object) {
    case Object::kDisc:
      o.circle(Role::kMain, 0, 0, 0.9F);
      if (d.chance(0.6F)) o.ring(Role::kSecond, 0, 0, d.range(0.45F, 0.75F), 0.04F);
      break;
    case Object::kRing: o.ring(Role::kMain, 0, 0, 0.72F, d.range(0.12F, 0.25F)); break;
    case Object::kWasher:
      o.circle(Role::kMain, 0, 0, 0.88F);
      o.circle(Role::kCut, 0, 0, d.range(0.3F, 0.55F));
      break;
    case Object::kPlate:
      o.circle(Role::kLight, 0, 0, 0.95F);
      o.ring(Role::kMain, 0, 0, 0.86F, 0.05F);
      o.circle(Role::kLight, 0, 0, d.range(0.5F, 0.62F)).relief = -1.0F;
      if (d.chance(0.5F)) o.circles_around(Role::kMain, 4 + d.below(5), 0.74F, 0.05F);
      break;
    case Object::kCup:
      o.box(Role::kMain, 0.78F, 0, 0.2F, 0.22F, 0.15F);
      o.box(Role::kCut, 0.76F, 0, 0.1F, 0.11F, 0.08F);
      o.circle(Role::kMain, -0.08F, 0, 0.75F);
      o.circle(Role::kDark, -0.08F, 0, d.range(0.58F, 0.66F)).relief = -1.0F;
      o.circle(Role::kSecond, -0.08F, 0, 0.5F).relief = 0.0F;
      break;
    case Object::kButton: {
      o.circle(Role::kMain, 0, 0, 0.88F);
      o.ring(Role::kMain, 0, 0, 0.76F, 0.08F);
      o.circles_around(Role::kCut, d.chance(0.5F) ? 4 : 2, 0.26F, 0.1F, kPi / 4);
      break;
    }
    case Object::kWheel: {
      o.circle(Role::kDark, 0, 0, 0.93F);
      o.circle(Role::kMain, 0, 0, 0.7F);
      const int spokes = 5 + d.below(4);
      for (int i = 0; i < spokes; ++i) {
        const float t = 2.0F * kPi * static_cast<float>(i) / static_cast<float>(spokes);
        o.ellipse(Role::kCut, 0.45F * std::cos(t), 0.45F * std::sin(t), 0.17F,
                  0.09F + 0.2F / static_cast<float>(spokes), t);
      }
      o.circle(Role::kSecond, 0, 0, 0.16F);
      break;
    }
    case Object::kClock: {
      o.circle(Role::kMain, 0, 0, 0.93F);
      o.circle(Role::kLight, 0, 0, 0.78F).relief = -1.0F;
      for (int i = 0; i < 12; ++i) {
        const float t = kPi / 6.0F * static_cast<float>(i);
        const float c = std::cos(t), s = std::sin(t);
        Builder::flat(o.bar(Role::kDark, 0.6F * c, 0.6F * s, 0.68F * c, 0.68F * s, 0.03F));
      }
      const float h = d.angle(), m = d.angle();
      o.bar(Role::kDark, 0, 0, 0.35F * std::cos(h), 0.35F * std::sin(h), 0.045F);
      o.bar(Role::kSecond, 0, 0, 0.55F * std::cos(m), 0.55F * std::sin(m), 0.03F);
      break;
    }
    case Object::kBearing:
      o.circle(Role::kMain, 0, 0, 0.93F);
      o.circle(Role::kDark, 0, 0, 0.74F).relief = -1.0F;
      o.circles_around(Role::kLight, 8 + d.below(4), 0.6F, 0.12F, d.angle());
      o.circle(Role::kMain, 0, 0, 0.46F);
      o.circle(Role::kCut, 0, 0, 0.3F);
      break;
    case Object::kBiscuit:
      o.gear(Role::kMain, 0.86F, 0.035F, 18 + d.below(8));
      o.circles_around(Role::kDark, 6, 0.55F, 0.06F, d.angle());
      o.circles_around(Role::kDark, 3, 0.22F, 0.06F, d.angle());
      break;
    default: o.circle(Role::kMain, 0, 0, 0.9F);
  }
}

void machine_parts(Object object, Draws& d, Builder& o) {
  switch (object) {
    case Object::kGear:
      o.gear(Role::kMain, 0.8F, 0.1F, 9 + d.below(8));
      o.ring(Role::kMain, 0, 0, 0.5F, 0.06F);
      if (d.chance(0.5F)) o.circles_around(Role::kCut, 4 + d.below(3), 0.45F, 0.1F);
      o.circle(Role::kCut, 0, 0, d.range(0.14F, 0.26F));
      break;
    case Object::kNut:
      o.polygon(Role::kMain, 0, 0, 0.95F, 6);
      o.ring(Role::kMain, 0, 0, 0.58F, 0.12F);
      o.circle(Role::kCut, 0, 0, d.range(0.36F, 0.46F));
      break;
    case Object::kBolt: {
      o.box(Role::kMain, 0.3F, 0, 0.62F, 0.17F, 0.05F);
      for (int i = 0; i < 8; ++i) {
        o.box(Role::kDark, 0.05F + 0.11F * static_cast<float>(i), 0, 0.015F, 0.17F, 0, 0.15F);
      }
      o.box(Role::kMain, -0.5F, 0, 0.22F, d.range(0.36F, 0.46F), 0.06F);
      break;
    }
    case Object::kScrew: {
      o.circle(Role::kMain, 0, 0, 0.85F);
      const bool cross = d.chance(0.6F);
      o.box(Role::kDark, 0, 0, 0.5F, 0.09F, 0.02F).relief = -1.0F;
      if (cross) o.box(Role::kDark, 0, 0, 0.09F, 0.5F, 0.02F).relief = -1.0F;
      break;
    }
    case Object::kKey: {
      o.box(Role::kMain, 0.3F, 0, 0.62F, 0.09F, 0.02F);
      const int teeth = 2 + d.below(3);
      for (int i = 0; i < teeth; ++i) {
        o.box(Role::kMain, 0.4F + 0.17F * static_cast<float>(i), 0.16F, 0.055F,
              d.range(0.1F, 0.16F), 0.01F);
      }
      o.circle(Role::kMain, -0.55F, 0, 0.38F);
      o.circle(Role::kCut, -0.62F, 0, d.range(0.14F, 0.22F));
      break;
    }
    case Object::kPipe:
      o.box(Role::kMain, 0, 0, 0.85F, 0.28F, 0.03F);
      o.box(Role::kLight, 0, -0.12F, 0.83F, 0.05F, 0.04F).relief = 0.0F;
      o.box(Role::kSecond, -0.75F, 0, 0.13F, 0.38F, 0.03F);
      o.box(Role::kSecond, 0.75F, 0, 0.13F, 0.38F, 0.03F);
      break;
    case Object::kSocket:
      o.box(Role::kMain, 0, 0, 0.85F, 0.85F, 0.15F);
      o.circle(Role::kLight, 0, 0, 0.62F).relief = -1.0F;
      o.circle(Role::kDark, -0.25F, 0, 0.1F);
      o.circle(Role::kDark, 0.25F, 0, 0.1F);
      if (d.chance(0.5F)) o.circle(Role::kDark, 0, 0.28F, 0.08F);
      break;
    case Object::kPadlock:
      o.ring(Role::kLight, 0, -0.3F, 0.42F, 0.1F);
      o.box(Role::kMain, 0, 0.3F, 0.66F, 0.55F, 0.1F);
      o.circle(Role::kDark, 0, 0.22F, 0.12F);
      o.box(Role::kDark, 0, 0.42F, 0.05F, 0.16F, 0.02F);
      Builder::flat(o.box(Role::kSecond, 0, 0.72F, 0.5F, 0.04F));
      break;
    case Object::kPropeller: {
      const int blades = 3 + d.below(3);
      for (int i = 0; i < blades; ++i) {
        const float t = 2.0F * kPi * static_cast<float>(i) / static_cast<float>(blades);
        o.leaf(Role::kMain, 0.5F * std::cos(t), 0.5F * std::sin(t), 0.45F, 0.2F, t);
      }
      o.circle(Role::kSecond, 0, 0, 0.24F);
      o.circle(Role::kDark, 0, 0, 0.08F);
      break;
    }
    case Object::kConnector: {
      o.box(Role::kMain, 0, 0, 0.9F, 0.5F, 0.06F);
      o.box(Role::kDark, 0, 0, 0.78F, 0.36F, 0.03F).relief = -1.0F;
      const int pins = 4 + d.below(3);
      for (int row = 0; row < 2; ++row) {
        for (int i = 0; i < pins; ++i) {
          const float x = -0.62F + 1.24F * static_cast<float>(i) / static_cast<float>(pins - 1);
          o.box(Role::kLight, x, row == 0 ? -0.16F : 0.16F, 0.07F, 0.09F, 0.01F);
        }
      }
      break;
    }
    case Object::kFuse:
      o.box(Role::kLight, 0, 0, 0.6F, 0.24F, 0.02F);
      o.bar(Role::kDark, -0.5F, d.range(-0.05F, 0.05F), 0.5F, d.range(-0.05F, 0.05F), 0.025F);
      o.box(Role::kMain, -0.68F, 0, 0.22F, 0.28F, 0.06F);
      o.box(Role::kMain, 0.68F, 0, 0.22F, 0.28F, 0.06F);
      break;
    case Object::kSpool: {
      o.box(Role::kSecond, 0, 0, 0.5F, 0.6F, 0.02F);
      for (int i = 0; i < 9; ++i) {
        Builder::flat(
            o.box(Role::kDark, 0, -0.52F + 0.13F * static_cast<float>(i), 0.5F, 0.012F, 0, 0.06F));
      }
      o.box(Role::kMain, 0, -0.72F, 0.75F, 0.14F, 0.04F);
      o.box(Role::kMain, 0, 0.72F, 0.75F, 0.14F, 0.04F);
      break;
    }
    default: o.box(Role::kMain, 0, 0, 0.8F, 0.8F);
  }
}

void chip(Draws& d, Builder& o) {
  const int legs = 4 + d.below(4);
  for (int i = 0; i < legs; ++i) {
    const float x = -0.65F + 1.3F * static_cast<float>(i) / static_cast<float>(legs - 1);
    o.box(Role::kLight, x, -0.68F, 0.05F, 0.2F, 0.01F);
    o.box(Role::kLight, x, 0.68F, 0.05F, 0.2F, 0.01F);
  }
  o.box(Role::kMain, 0, 0, 0.85F, 0.52F, 0.04F);
  o.circle(Role::kDark, -0.68F, 0.34F, 0.07F);
  for (int i = 0; i < 3; ++i) {
    Builder::flat(o.box(Role::kSecond, 0.05F, -0.15F + 0.15F * static_cast<float>(i),
                        d.range(0.2F, 0.4F), 0.03F));
  }
}

void household(Object object, Draws& d, Builder& o) {
  switch (object) {
    case Object::kBottle:
      o.box(Role::kMain, 0, 0.25F, 0.42F, 0.68F, 0.15F);
      o.box(Role::kMain, 0, -0.55F, 0.16F, 0.3F, 0.04F);
      o.box(Role::kSecond, 0, -0.85F, 0.2F, 0.1F, 0.02F);
      o.box(Role::kLight, 0, d.range(0.2F, 0.4F), 0.4F, 0.25F, 0.02F);
      Builder::flat(o.box(Role::kSecond, 0, 0.3F, 0.25F, 0.04F));
      break;
    case Object::kCapsule:
      o.box(Role::kMain, -0.02F, 0, 0.9F, 0.34F, 0.34F);
      o.box(Role::kSecond, 0.44F, 0, 0.46F, 0.34F, 0.33F);
      o.box(Role::kSecond, 0.15F, 0, 0.17F, 0.34F, 0.0F);
      Builder::flat(o.box(Role::kLight, 0, -0.16F, 0.6F, 0.04F, 0.04F));
      break;
    case Object::kLeaf:
      o.leaf(Role::kMain, 0, 0, 0.92F, d.range(0.38F, 0.55F));
      o.bar(Role::kDark, -0.9F, 0, 0.88F, 0, 0.022F);
      for (int i = 0; i < 4; ++i) {
        const float x = -0.5F + 0.27F * static_cast<float>(i);
        Builder::flat(o.bar(Role::kDark, x, 0, x + 0.22F, 0.22F, 0.014F));
        Builder::flat(o.bar(Role::kDark, x, 0, x + 0.22F, -0.22F, 0.014F));
      }
      break;
    case Object::kChip: chip(d, o); break;
    case Object::kPills: {
      o.box(Role::kLight, 0, 0, 0.92F, 0.7F, 0.08F);
      const int columns = 3 + d.below(2);
      for (int row = 0; row < 2; ++row) {
        for (int i = 0; i < columns; ++i) {
          const float x = (static_cast<float>(i) + 0.5F) * 1.6F / static_cast<float>(columns);
          o.circle(Role::kMain, x - 0.8F, row == 0 ? -0.32F : 0.32F, 0.2F);
        }
      }
      break;
    }
    case Object::kStar:
      o.star(Role::kMain, 0, 0, 0.95F, d.range(0.4F, 0.55F), 5 + d.below(3));
      if (d.chance(0.5F)) o.circle(Role::kSecond, 0, 0, 0.15F);
      break;
    case Object::kBattery:
      o.box(Role::kMain, 0, 0, 0.8F, 0.32F, 0.05F);
      o.box(Role::kLight, 0.86F, 0, 0.09F, 0.12F, 0.02F);
      o.box(Role::kSecond, 0.5F, 0, 0.28F, 0.32F, 0.04F);
      Builder::flat(o.box(Role::kLight, -0.45F, 0, 0.12F, 0.03F));
      Builder::flat(o.box(Role::kLight, 0.5F, 0, 0.12F, 0.03F));
      break;
    case Object::kArrow:
      o.box(Role::kMain, -0.25F, 0, 0.6F, d.range(0.12F, 0.22F), 0.02F);
      o.polygon(Role::kMain, 0.42F, 0, 0.55F, 3);
      break;
    case Object::kBrush: {
      for (int i = 0; i < 11; ++i) {
        const float y = -0.3F + 0.06F * static_cast<float>(i);
        o.bar(i % 2 == 0 ? Role::kSecond : Role::kLight, 0.3F, y, 0.92F, y * d.range(1.1F, 1.25F),
              0.022F);
      }
      o.box(Role::kDark, 0.22F, 0, 0.14F, 0.36F, 0.02F);
      o.box(Role::kMain, -0.4F, 0, 0.52F, 0.15F, 0.12F);
      break;
    }
    case Object::kDice: {
      o.box(Role::kMain, 0, 0, 0.82F, 0.82F, 0.18F);
      const int n = 1 + d.below(6);
      if (n % 2 == 1) o.circle(Role::kLight, 0, 0, 0.14F);
      for (int i = 0; i < n / 2; ++i) {
        const float x = i == 1 ? -0.45F : 0.45F, y = i == 2 ? 0.0F : 0.45F;
        o.circle(Role::kLight, x, y, 0.14F);
        o.circle(Role::kLight, -x, -y, 0.14F);
      }
      break;
    }
    case Object::kSpoon:
      o.box(Role::kMain, 0.3F, 0, 0.62F, 0.08F, 0.07F);
      o.ellipse(Role::kMain, -0.52F, 0, 0.42F, 0.3F);
      o.ellipse(Role::kDark, -0.52F, 0, 0.3F, 0.2F).relief = -1.0F;
      break;
    case Object::kCard:
      o.box(Role::kMain, 0, 0, 0.92F, 0.6F, 0.08F);
      o.box(Role::kLight, -0.55F, -0.05F, 0.17F, 0.13F, 0.03F);
      for (int i = 0; i < 4; ++i) {
        Builder::flat(
            o.box(Role::kSecond, -0.6F + 0.4F * static_cast<float>(i), 0.3F, 0.14F, 0.05F));
      }
      Builder::flat(o.box(Role::kDark, 0, -0.42F, 0.92F, 0.07F, 0.0F));
      break;
    case Object::kTube:
      o.polygon(Role::kMain, 0.3F, 0, 0.5F, 4, kPi / 4).a = 0.45F;
      o.box(Role::kMain, -0.2F, 0, 0.65F, 0.32F, 0.05F);
      o.box(Role::kSecond, 0.72F, 0, 0.16F, 0.2F, 0.02F);
      Builder::flat(o.box(Role::kLight, -0.3F, 0, 0.35F, 0.1F));
      break;
    default: o.box(Role::kMain, 0, 0, 0.8F, 0.8F);
  }
}

}  // namespace

std::vector<Part> object_parts(Object object, Draws& draws) {
  Builder builder;
  switch (object) {
    case Object::kDisc:
    case Object::kRing:
    case Object::kWasher:
    case Object::kPlate:
    case Object::kCup:
    case Object::kButton:
    case Object::kWheel:
    case Object::kClock:
    case Object::kBearing:
    case Object::kBiscuit: round_things(object, draws, builder); break;
    case Object::kGear:
    case Object::kNut:
    case Object::kBolt:
    case Object::kScrew:
    case Object::kKey:
    case Object::kPipe:
    case Object::kSocket:
    case Object::kPadlock:
    case Object::kPropeller:
    case Object::kConnector:
    case Object::kFuse:
    case Object::kSpool: machine_parts(object, draws, builder); break;
    default: household(object, draws, builder);
  }
  return builder.take();
}

}  // namespace assay
