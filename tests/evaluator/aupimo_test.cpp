#include "evaluator/aupimo.h"

#include "tests/evaluator/pixel_images.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

using oracle::PixelImage;

// Five images of 64 x 64 of `spec/metrics.md` 6.3.
std::vector<PixelImage> aupimo_images() {
  std::vector<PixelImage> images = specification_scores(5, 64);
  mark(images[0], 5, 20, 8, 30);
  mark(images[1], 40, 44, 40, 60);
  mark(images[1], 2, 4, 2, 4);
  for (PixelImage& image : images) {
    for (std::size_t i = 0; i < image.scores.size(); ++i) {
      if (image.mask[i] != 0) image.scores[i] = std::min(0.5F * image.scores[i] + 0.5F, 1.0F);
    }
  }
  return images;
}

Aupimo aupimo_of(const std::vector<PixelImage>& images, const AupimoOptions& options) {
  std::vector<std::span<const float>> maps;
  std::vector<MaskRuns> masks;
  std::vector<bool> is_anomalous;
  for (const PixelImage& image : images) {
    maps.emplace_back(image.scores);
    masks.push_back(oracle::flood_fill(image.mask, image.height, image.width));
    is_anomalous.push_back(!masks.back().runs.empty());
  }
  return aupimo(
      maps, is_anomalous, [&](std::size_t image) { return masks[image]; }, options);
}

// The integral over ln F at 200,000 midpoints: T of the lowest threshold whose F is not above.
double aupimo_by_midpoints(const std::vector<PixelImage>& images,
                           std::size_t image,
                           const AupimoOptions& options) {
  std::vector<float> normal, anomalous;
  for (const PixelImage& each : images) {
    if (std::ranges::find(each.mask, 1) != each.mask.end()) continue;
    normal.insert(normal.end(), each.scores.begin(), each.scores.end());
  }
  for (std::size_t i = 0; i < images[image].scores.size(); ++i) {
    if (images[image].mask[i] != 0) anomalous.push_back(images[image].scores[i]);
  }
  std::ranges::sort(normal, std::greater<>());
  std::ranges::sort(anomalous, std::greater<>());
  constexpr int kPoints = 200'000;
  double sum = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double f = options.lower * std::pow(options.upper / options.lower, (i + 0.5) / kPoints);
    // Down to just above the next normal pixel: so many normal pixels are covered.
    const auto covered = static_cast<std::size_t>(f * static_cast<double>(normal.size()));
    const float next = normal[covered];
    sum += static_cast<double>(std::ranges::count_if(anomalous, [&](float s) { return s > next; }));
  }
  return sum / kPoints / static_cast<double>(anomalous.size());
}

TEST(Aupimo, AgreesWithTheVectorOfTheSpecification) {
  const Aupimo result = aupimo_of(aupimo_images(), {.lower = 1e-3, .upper = 1e-1});
  EXPECT_NEAR(result.exact.by_image[0].value(), 0.0453851941, 1e-10);
  EXPECT_NEAR(result.exact.by_image[1].value(), 0.0437858626, 1e-10);
  EXPECT_FALSE(result.exact.by_image[2]);
  EXPECT_NEAR(result.exact.mean.value(), 0.0445855284, 1e-10);
  EXPECT_EQ(result.num_normal_pixels, 3 * 64 * 64);
  EXPECT_EQ(result.num_inside, 1228 - 12);
}

TEST(Aupimo, OnTheGridAgreesWithTheVectorOfTheSpecification) {
  const Aupimo result = aupimo_of(aupimo_images(), {.lower = 1e-3, .upper = 1e-1});
  EXPECT_NEAR(result.grid.by_image[0].value(), 0.0453981, 1e-7);
  EXPECT_NEAR(result.grid.by_image[1].value(), 0.0437922, 1e-7);
}

TEST(Aupimo, AgreesWithTheDefinitionOnRandomImages) {
  std::mt19937 rng(31);
  for (int trial = 0; trial < 3; ++trial) {
    std::vector<PixelImage> images = random_images(rng, {.num_images = 6, .levels = 0});
    images.push_back(images.back());
    for (float& score : images.back().scores) score *= 0.9F;
    const AupimoOptions options{.lower = 0.01, .upper = 0.4};
    const Aupimo result = aupimo_of(images, options);
    for (std::size_t i = 0; i < images.size(); ++i) {
      if (!result.exact.by_image[i]) continue;
      EXPECT_NEAR(*result.exact.by_image[i], aupimo_by_midpoints(images, i, options), 1e-4);
    }
  }
}

TEST(Aupimo, GoesStraightAlongLnFThroughATieOfBothKinds) {
  // Four normal pixels; at score .5 one of them ties with the only anomalous one: F goes from 1/4
  // to 1/2 while T goes from 0 to 1.
  const std::vector<PixelImage> images = {{1, 1, {.5F}, {1}},
                                          {1, 4, {.9F, .5F, .2F, .1F}, {0, 0, 0, 0}}};
  const Aupimo result = aupimo_of(images, {.lower = 0.25, .upper = 0.5});
  EXPECT_NEAR(result.exact.mean.value(), 0.5, 1e-15);
}

TEST(Aupimo, OfAConstantMapIsZeroAndOfAPerfectOneOne) {
  const PixelImage normal{2, 8, oracle::Scores(16, .5F), oracle::Labels(16, 0)};
  const AupimoOptions options{.lower = 0.05, .upper = 0.5};
  EXPECT_EQ(aupimo_of({{1, 1, {.5F}, {1}}, normal}, options).exact.mean, 0.0);
  EXPECT_EQ(aupimo_of({{1, 1, {.6F}, {1}}, normal}, options).exact.mean, 1.0);
}

TEST(Aupimo, GivesTheSameBitsForEveryNumberOfThreads) {
  std::vector<PixelImage> images = aupimo_images();
  const Aupimo expected = aupimo_of(images, {.lower = 1e-3, .upper = 1e-1});
  for (const int num_threads : {2, 7}) {
    const Aupimo result =
        aupimo_of(images, {.lower = 1e-3, .upper = 1e-1, .num_threads = num_threads});
    EXPECT_EQ(result.exact.by_image, expected.exact.by_image);
    EXPECT_EQ(result.grid.by_image, expected.grid.by_image);
    EXPECT_EQ(result.exact.mean, expected.exact.mean);
  }
}

TEST(Aupimo, IsAbsentWithoutNormalOrAnomalousImages) {
  const PixelImage normal{1, 2, {.5F, .1F}, {0, 0}}, anomalous{1, 2, {.5F, .1F}, {1, 0}};
  EXPECT_EQ(aupimo_of({normal}, {}).exact.undefined_because, "no_anomalous_masks");
  EXPECT_EQ(aupimo_of({anomalous}, {}).exact.undefined_because, "no_normal_masks");
  EXPECT_FALSE(aupimo_of({anomalous}, {}).exact.mean || aupimo_of({anomalous}, {}).grid.mean);
}

TEST(Aupimo, OnTheGridIsAbsentWhereTheBoundsAreNotReached) {
  const PixelImage normal{1, 2, {.5F, .1F}, {0, 0}}, anomalous{1, 2, {.6F, .1F}, {1, 0}};
  const Aupimo result = aupimo_of({normal, anomalous}, {.lower = 0.1, .upper = 0.5});
  EXPECT_EQ(result.grid.undefined_because, "bounds_not_reached");
  EXPECT_EQ(result.exact.mean, 1.0);
}

TEST(Aupimo, RefusesBoundsThatAreNoInterval) {
  for (const auto& [lower, upper] : std::vector<std::pair<double, double>>{
           {0, 0.1}, {0.1, 0.1}, {0.1, 1.1}, {std::nan(""), 0.1}}) {
    EXPECT_THROW((void)aupimo_of(aupimo_images(), {.lower = lower, .upper = upper}),
                 std::invalid_argument);
  }
}

}  // namespace
}  // namespace assay
