#include "evaluator/heatmap.h"

#include "tests/evaluator/oracles.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <cmath>

namespace assay {
namespace {

Image grey_photo(std::int32_t height, std::int32_t width, std::uint8_t value) {
  return {.height = height,
          .width = width,
          .channels = 1,
          .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(height) * width, value),
          .notes = {}};
}

std::vector<int> rgb(const Image& image, std::int32_t row, std::int32_t column) {
  const auto at = 3 * (static_cast<std::size_t>(row) * image.width + column);
  return {image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]};
}

TEST(HeatColour, IsCloseToTheTableOfInferno) {
  // matplotlib 3.8, _cm_listed.py, entries 0, 128 and 255 of _inferno_data.
  const std::vector<std::pair<double, std::vector<double>>> table = {
      {0, {0.001462, 0.000466, 0.013866}},
      {128 / 255.0, {0.735683, 0.215906, 0.330245}},
      {1, {0.988362, 0.998364, 0.644924}}};
  for (const auto& [share, expected] : table) {
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(heat_colour(share)[c] / 255.0, expected[c], 0.02) << share << " " << c;
    }
  }
}

TEST(HeatmapPicture, ShowsPhotoOutlineAndHeatSideBySide) {
  oracle::Labels bytes(32 * 32, 0);
  for (int y = 10; y < 20; ++y) {
    for (int x = 10; x < 20; ++x) bytes[y * 32 + x] = 1;
  }
  const MaskRuns mask = oracle::flood_fill(bytes, 32, 32);
  std::vector<float> map(32 * 32, 0);
  map[15 * 32 + 15] = 1;

  const Image picture = heatmap_picture(grey_photo(50, 70, 90), map, 32, &mask, {0, 1});

  EXPECT_EQ(picture.height, 32);
  EXPECT_EQ(picture.width, 3 * 32 + 2 * 6);
  const std::vector<int> photo = {90, 90, 90}, outline = {0, 255, 140}, white = {255, 255, 255};
  EXPECT_EQ(rgb(picture, 15, 15), photo);
  EXPECT_EQ(rgb(picture, 15, 33), white);
  EXPECT_EQ(rgb(picture, 10, 38 + 15), outline);
  EXPECT_EQ(rgb(picture, 15, 38 + 15), photo);
  EXPECT_GT(rgb(picture, 15, 76 + 15)[0], 200);
  EXPECT_LT(rgb(picture, 0, 76)[0], 90);
}

TEST(HeatmapPicture, HasTwoPanelsWithoutAMask) {
  const std::vector<float> map(16 * 16, .5F);
  EXPECT_EQ(heatmap_picture(grey_photo(16, 16, 0), map, 16, nullptr, {0, 1}).width, 2 * 16 + 6);
}

TEST(HeatmapPicture, ClampsScoresOutsideOfTheRange) {
  const std::vector<float> map = {-5, 0, 1, 7};
  const Image picture = heatmap_picture(grey_photo(2, 2, 128), map, 2, nullptr, {0, 1});
  EXPECT_EQ(rgb(picture, 0, 8), rgb(picture, 0, 9));
  EXPECT_EQ(rgb(picture, 1, 8), rgb(picture, 1, 9));
}

TEST(HeatmapPicture, OfAConstantCategoryIsDark) {
  const std::vector<float> map(4, 3);
  const std::vector<std::span<const float>> maps = {map};
  const HeatRange range = range_of_maps(maps);
  EXPECT_EQ(range.low, range.high);
  const Image picture = heatmap_picture(grey_photo(2, 2, 0), map, 2, nullptr, range);
  EXPECT_LT(rgb(picture, 0, 8)[0], 10);
}

TEST(HeatmapPicture, RefusesAMaskOfAnotherSize) {
  const std::vector<float> map(16, .5F);
  const MaskRuns mask{.height = 5, .width = 4, .runs = {}, .areas = {}};
  EXPECT_THROW((void)heatmap_picture(grey_photo(4, 4, 0), map, 4, &mask, {0, 1}),
               std::invalid_argument);
}

TEST(HeatmapName, SortsByScoreAndKeepsLabelAndPath) {
  EXPECT_EQ(heatmap_name("bottle/test/broken_large/000.png", 1, 0.87321F),
            "0.8732-anomalous-bottle-test-broken_large-000.png");
  EXPECT_EQ(heatmap_name("Normal/1.JPG", 0, 0.5F), "0.5000-normal-Normal-1.png");
}

TEST(HeatmapPicture, IsReadBackFromThePngThatItIsWrittenTo) {
  const TemporaryFolder folder;
  const std::vector<float> map(8 * 8, .7F);
  const Image picture = heatmap_picture(grey_photo(8, 8, 40), map, 8, nullptr, {0, 1});
  write_png(folder / "a.png", picture);
  EXPECT_EQ(read_image(folder / "a.png").pixels, picture.pixels);
}

}  // namespace
}  // namespace assay
