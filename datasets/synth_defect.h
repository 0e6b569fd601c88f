#pragma once

#include "datasets/synth_scene.h"

#include <string_view>
#include <vector>

namespace assay {

enum class DefectKind {
  kScratch,
  kStain,
  kHole,
  kCrack,
  kDent,
  kBent,
  kContamination,
  kThread,
  kBurn,
  kColourPatch,
  kEdgeChip,
  kPrint,
  kCut,
  kBubble,
  kSmudge,
  kGlue,
  kBroken,
  kScuff,
  // Never in pretraining, synth-a:
  kGouge,
  kRust,
  kFold,
  kPunctures,
  kSmear,
  kWrinkles,
  // Never in pretraining, synth-b:
  kPitting,
  kSwirl,
  kPeel,
  kFray,
  kWatermark,
  kCrust,
  kMould,
  kWarp
};
/// `scratch`: what folders and captions call it.
[[nodiscard]] std::string_view defect_name(DefectKind kind);

/// How a layer changes the colour below it.
enum class Paint {
  kColour,      ///< Replaces it by the layer's.
  kMultiply,    ///< Filters it with the layer's.
  kBackground,  ///< Shows what lies behind the object, or the layer's colour on a texture.
  kRelief,      ///< Lightens and darkens it as a slope in the light would.
  kFlatten,     ///< Replaces it by the surface's mean colour.
};

/// One shape that a defect lays over a picture, in image coordinates ([-1, 1]^2).
struct Layer {
  enum class Form {
    kLine,    ///< Polyline `points` of half width `a`.
    kBlob,    ///< Ellipse a x b, its radius roughened by `rough`.
    kRing,    ///< Outline of such a blob, half width `c`.
    kSpots,   ///< Discs of a cell noise of `c` cells a unit inside a blob.
    kPatchy,  ///< Fractal noise of `c` cells a unit above a threshold inside a blob.
    kHatch    ///< Parallel lines, `c` a unit, inside a blob.
  };
  Form form = Form::kBlob;
  Paint paint = Paint::kColour;
  Rgb colour;
  float opacity = 1.0F;
  float x = 0.0F, y = 0.0F, a = 0.2F, b = 0.2F, c = 0.0F, angle = 0.0F;
  float rough = 0.0F, soft = 0.0F;
  bool on_object = true;  ///< Only where the object is.
  std::uint32_t seed = 0;
  struct Point {
    float x, y;
  };
  std::vector<Point> points;
};
/// How far the layer covers a point, [0, 1], without its opacity.
[[nodiscard]] float layer_coverage(const Layer& layer, float x, float y, float pixel);
/// The slope of the layer's surface against the light, about [-1, 1] (`Paint::kRelief`).
[[nodiscard]] float layer_relief(
    const Layer& layer, float x, float y, float light_x, float light_y);

/// A displacement of what is drawn: the colour at (x, y) is what was at the returned point.
struct Warp {
  enum class Form { kNone, kBend, kPinch, kSwirl, kWave, kFold, kSmear };
  Form form = Form::kNone;
  float x = 0.0F, y = 0.0F, radius = 0.4F, angle = 0.0F, strength = 0.0F;
  bool local = false;  ///< A bend that ends at `radius`: in a texture, which has no far end.
};
void apply_warp(const Warp& warp, float& x, float& y);

/// All that makes a defective twin of a normal drawing.
struct Defect {
  DefectKind kind = DefectKind::kScratch;
  std::vector<Layer> layers;
  Warp warp;
};

/// What a defect has to know of the picture that it spoils.
struct DefectSite {
  bool is_object = false;
  float x = 0.0F, y = 0.0F;            ///< A random point of the object.
  float edge_x = 0.0F, edge_y = 0.0F;  ///< A random point of its outline.
  float centre_x = 0.0F, centre_y = 0.0F;
  float size = 1.0F;  ///< Half the object's extent.
  Rgb surface;        ///< The colour at (x, y).
};
[[nodiscard]] Defect make_defect(DefectKind kind, const DefectSite& site, Draws& draws);

}  // namespace assay
