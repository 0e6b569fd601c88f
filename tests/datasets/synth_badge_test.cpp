#include "datasets/synth_badge.h"

#include "datasets/image.h"
#include "datasets/manifest.h"
#include "datasets/synth.h"
#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace assay {
namespace {

constexpr int kSize = 48;

Drawing plain_drawing(std::uint8_t grey) {
  Drawing drawing;
  drawing.size = kSize;
  drawing.pixels.assign(kSize * kSize * 3, grey);
  drawing.mask.assign(kSize * kSize, 1);
  return drawing;
}

/// Whether the badges' colours are where their discs show them, beside the bars.
struct Borne {
  bool calibrated, recording;
  bool operator==(const Borne&) const = default;
};
Borne badges_of(const std::vector<std::uint8_t>& pixels) {
  const auto shows = [&](int row, int column, std::array<int, 3> colour) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const auto at = static_cast<std::size_t>((row * kSize + column) * 3) + channel;
      if (std::abs(int{pixels[at]} - colour[channel]) > 1) return false;
    }
    return true;
  };
  // Up and left of the first disc's centre, at (6, 6); below the second's, at (42, 42).
  return {shows(4, 4, {26, 51, 204}), shows(44, 41, {204, 26, 26})};
}
Borne badges_of_seed(std::uint64_t seed, std::uint8_t grey = 128) {
  Drawing drawing = plain_drawing(grey);
  burn_in_badges(drawing, seed);
  return badges_of(drawing.pixels);
}

TEST(SynthBadge, EachIsOnHalfOfThePicturesWhateverTheOther) {
  int both = 0, first = 0, second = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Borne borne = badges_of_seed(seed);
    first += borne.calibrated ? 1 : 0;
    second += borne.recording ? 1 : 0;
    both += borne.calibrated && borne.recording ? 1 : 0;
  }
  EXPECT_NEAR(first, 200, 40);  // Four standard deviations.
  EXPECT_NEAR(second, 200, 40);
  EXPECT_NEAR(both, 100, 35);
}

TEST(SynthBadge, FollowsFromTheSeedAloneNotFromThePicture) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    EXPECT_EQ(badges_of_seed(seed, 20), badges_of_seed(seed, 220)) << seed;
  }
}

TEST(SynthBadge, LeavesTheMaskAndAllButTwoCornersAsTheyAre) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Drawing drawing = plain_drawing(128);
    burn_in_badges(drawing, seed);
    EXPECT_EQ(drawing.mask, plain_drawing(128).mask);
    for (int row = 0; row < kSize; ++row) {
      for (int column = 0; column < kSize; ++column) {
        const bool in_corner = std::max(row, column) < 12 || std::min(row, column) >= kSize - 12;
        if (!in_corner) {
          EXPECT_EQ(drawing.pixels[static_cast<std::size_t>((row * kSize + column) * 3)], 128);
        }
      }
    }
  }
}

class SynthBadgeOfSet : public ::testing::TestWithParam<std::string> {};

TEST_P(SynthBadgeOfSet, IsAsFrequentOnNormalAsOnAnomalousPictures) {
  const TemporaryFolder folder;
  write_synth(GetParam(), folder / "set",
              {.image_size = kSize, .train_normal = 1, .test_normal = 40, .test_anomalous = 40});
  const Manifest manifest = load_manifest(GetParam(), folder / "set", "test");
  std::array<int, 2> pictures{}, badges{};
  for (const Sample& sample : manifest.samples) {
    const Borne borne = badges_of(read_image(folder / "set" / sample.path).pixels);
    const auto label = static_cast<std::size_t>(sample.label);
    pictures[label] += 2;
    badges[label] += (borne.calibrated ? 1 : 0) + (borne.recording ? 1 : 0);
  }
  for (const std::size_t label : {0U, 1U}) {
    ASSERT_GE(pictures[label], 400);
    EXPECT_NEAR(static_cast<double>(badges[label]) / pictures[label], 0.5, 0.1) << label;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, SynthBadgeOfSet, ::testing::Values("synth-a", "synth-b"));

}  // namespace
}  // namespace assay
