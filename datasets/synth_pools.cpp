#include "datasets/synth_drawing.h"

namespace assay {
namespace {

DrawingCategory thing(std::string_view name,
                      DrawingPool pool,
                      Object object,
                      std::vector<Material> materials) {
  return {name, pool, true, object, Texture::kPlain, std::move(materials)};
}
DrawingCategory surface(std::string_view name,
                        DrawingPool pool,
                        Texture texture,
                        std::vector<Material> materials) {
  return {name, pool, false, Object::kDisc, texture, std::move(materials)};
}

std::vector<DrawingCategory> make_categories() {
  using enum Material;
  constexpr auto kP = DrawingPool::kPretraining;
  constexpr auto kA = DrawingPool::kSynthA;
  constexpr auto kB = DrawingPool::kSynthB;
  return {
      surface("weave", kP, Texture::kWeave, {kFabric, kPlastic, kPaper}),
      surface("planks", kP, Texture::kWood, {kWooden}),
      surface("tiles", kP, Texture::kTiles, {kCeramic, kStone, kGlass}),
      surface("stripes", kP, Texture::kStripes, {kFabric, kPaper, kPlastic, kMetal}),
      surface("dots", kP, Texture::kDots, {kFabric, kPaper, kRubber, kMetal}),
      surface("marble", kP, Texture::kMarble, {kStone, kCeramic}),
      surface("sheet", kP, Texture::kBrushed, {kMetal}),
      surface("hide", kP, Texture::kLeather, {kLeather}),
      surface("gravel", kP, Texture::kGravel, {kStone, kConcrete}),
      surface("mesh", kP, Texture::kMesh, {kMetal, kPlastic}),
      surface("checker", kP, Texture::kChecker, {kFabric, kCeramic, kWooden, kPaper}),
      surface("waves", kP, Texture::kWaves, {kFabric, kPaper, kGlass}),
      surface("carpet", kP, Texture::kCarpet, {kFabric}),
      surface("granite", kP, Texture::kGranite, {kStone, kConcrete}),
      surface("hexagons", kP, Texture::kHexagons, {kCeramic, kMetal, kRubber}),
      surface("corrugation", kP, Texture::kCorrugated, {kMetal, kPaper, kPlastic}),
      surface("cork", kP, Texture::kCork, {kWooden, kRubber}),
      surface("wall", kP, Texture::kPlain, {kConcrete, kPaper, kLeather, kStone, kPlastic}),
      thing("disc", kP, Object::kDisc, {kMetal, kPlastic, kWooden, kRubber, kStone, kGlass}),
      thing("ring", kP, Object::kRing, {kMetal, kPlastic, kRubber, kCeramic}),
      thing("gear", kP, Object::kGear, {kMetal, kPlastic, kWooden}),
      thing("bolt", kP, Object::kBolt, {kMetal, kPlastic}),
      thing("bottle", kP, Object::kBottle, {kGlass, kPlastic, kCeramic}),
      thing("capsule", kP, Object::kCapsule, {kPlastic, kWax, kGlass}),
      thing("leaf", kP, Object::kLeaf, {kPaper, kFabric, kLeather}),
      thing("chip", kP, Object::kChip, {kPlastic, kCeramic}),
      thing("key", kP, Object::kKey, {kMetal, kPlastic}),
      thing("plate", kP, Object::kPlate, {kCeramic, kMetal, kPaper}),
      thing("washer", kP, Object::kWasher, {kMetal, kRubber, kPlastic}),
      thing("pills", kP, Object::kPills, {kPlastic, kWax, kCeramic}),
      thing("nut", kP, Object::kNut, {kMetal, kPlastic, kWooden}),
      thing("button", kP, Object::kButton, {kPlastic, kWooden, kMetal, kGlass}),
      thing("star", kP, Object::kStar, {kMetal, kPaper, kWax, kWooden, kFabric}),
      thing("battery", kP, Object::kBattery, {kMetal, kPlastic}),
      thing("cup", kP, Object::kCup, {kCeramic, kGlass, kPlastic, kPaper}),
      thing("screw", kP, Object::kScrew, {kMetal, kPlastic}),
      thing("pipe", kP, Object::kPipe, {kMetal, kPlastic, kConcrete}),
      thing("arrow", kP, Object::kArrow, {kMetal, kWooden, kPaper, kRubber}),
      thing("wheel", kP, Object::kWheel, {kMetal, kPlastic, kWooden}),
      thing("clock", kP, Object::kClock, {kMetal, kPlastic, kWooden}),
      thing("brush", kP, Object::kBrush, {kWooden, kPlastic}),
      thing("dice", kP, Object::kDice, {kPlastic, kWooden, kStone, kCeramic}),
      thing("spoon", kP, Object::kSpoon, {kMetal, kWooden, kCeramic, kPlastic}),
      thing("card", kP, Object::kCard, {kPlastic, kPaper, kMetal}),
      thing("tube", kP, Object::kTube, {kPlastic, kMetal}),
      thing("socket", kP, Object::kSocket, {kPlastic, kCeramic}),

      surface("denim", kA, Texture::kDenim, {kFabric}),
      surface("brick", kA, Texture::kBrick, {kStone, kConcrete}),
      thing("bearing", kA, Object::kBearing, {kMetal}),
      thing("fuse", kA, Object::kFuse, {kGlass, kCeramic, kMetal}),
      thing("biscuit", kA, Object::kBiscuit, {kWax, kPaper}),

      surface("knit", kB, Texture::kKnit, {kFabric}),
      surface("scales", kB, Texture::kScales, {kCeramic, kLeather, kPlastic}),
      thing("padlock", kB, Object::kPadlock, {kMetal, kPlastic}),
      thing("propeller", kB, Object::kPropeller, {kPlastic, kMetal, kWooden}),
      thing("connector", kB, Object::kConnector, {kPlastic}),
      thing("spool", kB, Object::kSpool, {kWooden, kPlastic}),
  };
}

bool draws_from(DrawingPool pool, DrawingPool member) {
  return pool == member || (pool == DrawingPool::kHeldOut && member != DrawingPool::kPretraining);
}

DrawingPool pool_of(DefectKind kind) {
  if (kind < DefectKind::kGouge) return DrawingPool::kPretraining;
  return kind < DefectKind::kPitting ? DrawingPool::kSynthA : DrawingPool::kSynthB;
}

}  // namespace

const std::vector<DrawingCategory>& drawing_categories() {
  static const std::vector<DrawingCategory> categories = make_categories();
  return categories;
}

std::vector<int> pool_categories(DrawingPool pool) {
  std::vector<int> indices;
  const auto& categories = drawing_categories();
  for (std::size_t i = 0; i < categories.size(); ++i) {
    if (draws_from(pool, categories[i].pool)) indices.push_back(static_cast<int>(i));
  }
  return indices;
}

std::vector<DefectKind> pool_defects(DrawingPool pool) {
  std::vector<DefectKind> kinds;
  for (int i = 0; i <= static_cast<int>(DefectKind::kWarp); ++i) {
    const auto kind = static_cast<DefectKind>(i);
    if (draws_from(pool, pool_of(kind))) kinds.push_back(kind);
  }
  return kinds;
}

DrawingRequest random_request(DrawingPool pool, std::uint64_t seed, std::uint64_t index, int size) {
  const RandomStream streams(seed, "synth request");
  Draws draws(streams.bits(index), "synth request");
  const std::vector<int> categories = pool_categories(pool);
  const std::vector<DefectKind> defects = pool_defects(pool);
  DrawingRequest request;
  request.category =
      categories[static_cast<std::size_t>(draws.below(static_cast<int>(categories.size())))];
  request.defect = defects[static_cast<std::size_t>(draws.below(static_cast<int>(defects.size())))];
  request.product_seed = draws.seed();
  request.specimen_seed = draws.seed();
  request.close_ups = pool == DrawingPool::kPretraining;
  request.size = size;
  return request;
}

}  // namespace assay
