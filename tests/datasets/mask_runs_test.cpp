#include "datasets/mask_runs.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <queue>
#include <random>
#include <string>
#include <utility>

namespace assay {
namespace {

using Bytes = std::vector<std::uint8_t>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// `#` is anomalous.
Bytes mask_of(const std::vector<std::string>& rows) {
  Bytes mask;
  for (const std::string& row : rows) {
    for (const char c : row) mask.push_back(c == '#' ? 255 : 0);
  }
  return mask;
}

/// Region of every pixel (-1 = normal) by flood fill from each pixel in raster order.
std::vector<int> flood_fill(const Bytes& mask, int height, int width, int connectivity) {
  std::vector<int> regions(mask.size(), -1);
  int num_regions = 0;
  for (int start = 0; start < height * width; ++start) {
    if (mask[start] == 0 || regions[start] >= 0) continue;
    std::queue<int> open({start});
    regions[start] = num_regions;
    while (!open.empty()) {
      const int y = open.front() / width, x = open.front() % width;
      open.pop();
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
          if (connectivity == 4 && dx * dy != 0) continue;
          if (y + dy < 0 || y + dy >= height || x + dx < 0 || x + dx >= width) continue;
          const int neighbour = (y + dy) * width + x + dx;
          if (mask[neighbour] == 0 || regions[neighbour] >= 0) continue;
          regions[neighbour] = num_regions;
          open.push(neighbour);
        }
      }
    }
    ++num_regions;
  }
  return regions;
}

std::vector<int> regions_of(const MaskRuns& mask) {
  std::vector<int> regions(static_cast<std::size_t>(mask.height * mask.width), -1);
  for (const MaskRun& run : mask.runs) {
    for (int x = run.first; x <= run.last; ++x) regions[run.row * mask.width + x] = run.region;
  }
  return regions;
}

TEST(LabelMask, JoinsDiagonalNeighboursOnlyWhereEightConnected) {
  const Bytes mask = mask_of({"#..#",  //
                              ".##.",  //
                              "....",  //
                              "#..."});
  EXPECT_THAT(label_mask(mask, 4, 4, 8).areas, ElementsAre(4, 1));
  EXPECT_THAT(label_mask(mask, 4, 4, 4).areas, ElementsAre(1, 1, 2, 1));
}

TEST(LabelMask, NumbersRegionsInRasterOrderAlsoWhereTheyMeetLate) {
  const Bytes mask = mask_of({"#.#.#",  //
                              "#.#..",  //
                              "###.#"});
  const MaskRuns runs = label_mask(mask, 3, 5);
  EXPECT_THAT(runs.areas, ElementsAre(7, 1, 1));
  EXPECT_EQ(runs.runs.front(), (MaskRun{.row = 0, .first = 0, .last = 0, .region = 0}));
  EXPECT_EQ(runs.num_anomalous(), 9);
}

TEST(LabelMask, OfANormalImageHasNoRegion) {
  const MaskRuns runs = label_mask(Bytes(12, 0), 3, 4);
  EXPECT_THAT(runs.runs, IsEmpty());
  EXPECT_THAT(runs.areas, IsEmpty());
}

TEST(LabelMask, MatchesAFloodFillOnRandomMasks) {
  std::mt19937 rng(20240521);
  for (int trial = 0; trial < 400; ++trial) {
    const int height = std::uniform_int_distribution<int>(0, 24)(rng);
    const int width = std::uniform_int_distribution<int>(1, 24)(rng);
    std::bernoulli_distribution anomalous(std::uniform_real_distribution<>(0.0, 1.0)(rng));
    Bytes mask(static_cast<std::size_t>(height * width));
    std::ranges::generate(mask, [&] { return static_cast<std::uint8_t>(anomalous(rng)); });
    for (const int connectivity : {4, 8}) {
      const MaskRuns runs = label_mask(mask, height, width, connectivity);
      const std::vector<int> expected = flood_fill(mask, height, width, connectivity);
      ASSERT_EQ(regions_of(runs), expected) << "trial " << trial;
      for (std::size_t r = 0; r < runs.areas.size(); ++r) {
        ASSERT_EQ(runs.areas[r], std::ranges::count(expected, static_cast<int>(r)));
      }
      Bytes filled(mask.size(), 7);
      fill_mask(runs, filled);
      ASSERT_EQ(filled, mask) << "trial " << trial;
    }
  }
}

}  // namespace
}  // namespace assay
