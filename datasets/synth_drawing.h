#pragma once

#include "datasets/synth_defect.h"
#include "datasets/synth_scene.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// Who may draw what: categories and defect kinds of one pool are in no other, but `kHeldOut`,
/// which is `kSynthA` and `kSynthB` together and which nothing is trained on.
enum class DrawingPool { kPretraining, kSynthA, kSynthB, kHeldOut };

/// A kind of thing that can be drawn.
struct DrawingCategory {
  std::string_view name;  ///< `hexagons`: folder name; with blanks for `_`, the word of captions.
  DrawingPool pool;
  bool is_object;
  Object object;    ///< Where `is_object`.
  Texture texture;  ///< Where not.
  std::vector<Material> materials;
};
[[nodiscard]] const std::vector<DrawingCategory>& drawing_categories();
/// Indices into `drawing_categories()`.
[[nodiscard]] std::vector<int> pool_categories(DrawingPool pool);
[[nodiscard]] std::vector<DefectKind> pool_defects(DrawingPool pool);

/// What to draw. The product (material, colours, parts, the look of a texture) and the specimen
/// (pose, light, camera, defect) have a seed each, so that a data set can show many specimens of
/// one product.
struct DrawingRequest {
  int category = 0;
  DefectKind defect = DefectKind::kScratch;  ///< Of the defective twin.
  std::uint64_t product_seed = 0;
  std::uint64_t specimen_seed = 0;
  bool close_ups = false;  ///< Some specimens are seen from near.
  int size = 64;           ///< Pixels, square.
};
/// Draw `index` of the stream of `pool` and `seed`: category, defect and both seeds at random.
[[nodiscard]] DrawingRequest random_request(DrawingPool pool,
                                            std::uint64_t seed,
                                            std::uint64_t index,
                                            int size);

/// A finished picture.
struct Drawing {
  int size = 0;
  std::vector<std::uint8_t> pixels;  ///< RGB, row-major, interleaved: size * size * 3.
  std::vector<std::uint8_t> mask;    ///< 1 where a defect changed the drawing: size * size.
  std::string_view category, material, colour;
  std::string_view defect;  ///< Empty: flawless.
  bool is_object = false;
};

/// The flawless drawing of a request. The same request gives the same bytes.
[[nodiscard]] Drawing draw_normal(const DrawingRequest& request);

/// The flawless drawing and its twin, which differs only by the defect: same pose, light and
/// camera noise. The mask is never empty; it holds the pixels that the defect's shapes cover or
/// whose noiseless colour it changes, not those that the camera's blur reaches.
struct DrawingTwins {
  Drawing normal, defective;
};
[[nodiscard]] DrawingTwins draw_twins(const DrawingRequest& request);

}  // namespace assay
