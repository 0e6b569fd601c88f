#include "core/error.h"
#include "evaluator/metrics.h"
#include "tests/evaluator/pixel_images.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>

namespace assay {
namespace {

using oracle::Labels;
using oracle::PixelImage;
using oracle::Scores;

constexpr double kTolerance = 1e-10;  // The vectors have ten decimals.

void expect_same_bits(const PixelMetrics& a, const PixelMetrics& b) {
  EXPECT_EQ(a.auroc, b.auroc);
  EXPECT_EQ(a.ap, b.ap);
  EXPECT_EQ(a.f1max, b.f1max);
  EXPECT_EQ(a.f1max_threshold, b.f1max_threshold);
  EXPECT_EQ(a.aupro, b.aupro);
  EXPECT_EQ(a.aupro_cflow200, b.aupro_cflow200);
}

void expect_definitions(const std::vector<PixelImage>& images, double limit, int connectivity) {
  const PixelMetrics metrics = metrics_of(images, {.aupro_limit = limit}, connectivity);
  const PixelImage all = oracle::pooled(images);
  ASSERT_EQ(metrics.auroc, oracle::auroc_by_pairs(all.scores, all.mask));
  ASSERT_NEAR(metrics.ap.value(), oracle::ap_by_thresholds(all.scores, all.mask), 1e-12);
  ASSERT_EQ(metrics.f1max, oracle::f1max_by_thresholds(all.scores, all.mask));
  ASSERT_NEAR(metrics.aupro.value(), oracle::aupro_by_thresholds(images, limit, connectivity),
              1e-12);
}

TEST(PixelMetrics, AgreeWithTheVectorOfTheSpecification) {
  const std::vector<PixelImage> images = specification_images();
  EXPECT_FLOAT_EQ(images[0].scores[0], 0.65515405F);
  EXPECT_FLOAT_EQ(images[0].scores[3], 0.21691582F);

  const PixelMetrics metrics = metrics_of(images);

  EXPECT_NEAR(metrics.auroc.value(), 0.7898103900, kTolerance);
  EXPECT_NEAR(metrics.ap.value(), 0.4255193845, kTolerance);
  EXPECT_NEAR(metrics.f1max.value(), 0.5555555556, kTolerance);
  EXPECT_NEAR(metrics.aupro.value(), 0.5027659486, kTolerance);
  EXPECT_NEAR(metrics.aupro_cflow200.value(), 0.5023893900, kTolerance);
  EXPECT_EQ(metrics.num_regions, 4);
}

TEST(PixelMetrics, TakeTheConnectivityFromTheMasks) {
  const PixelMetrics metrics = metrics_of(specification_images(), {}, 4);
  EXPECT_NEAR(metrics.aupro.value(), 0.5163716322, kTolerance);
  EXPECT_EQ(metrics.num_regions, 5);
}

TEST(PixelMetrics, AgreeWithTheVectorOfTheSpecificationWithTies) {
  std::vector<PixelImage> images = specification_images();
  for (PixelImage& image : images) {
    for (float& score : image.scores) score = std::floor(16 * score) / 16;
  }

  const PixelMetrics metrics = metrics_of(images);

  EXPECT_NEAR(metrics.auroc.value(), 0.7888276553, kTolerance);
  EXPECT_NEAR(metrics.ap.value(), 0.4214880885, kTolerance);
  EXPECT_NEAR(metrics.f1max.value(), 0.5555555556, kTolerance);
  EXPECT_NEAR(metrics.aupro.value(), 0.5023362469, kTolerance);
  EXPECT_NEAR(metrics_of(images, {}, 4).aupro.value(), 0.5187591029, kTolerance);
  EXPECT_NEAR(metrics.aupro_cflow200.value(), 0.4922505040, kTolerance);
}

TEST(PixelMetrics, CutTheCurveAtTheLimitByInterpolation) {
  PixelImage image{5, 6, Scores(30, 0.1F), Labels(30, 0)};
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 5; ++column) image.mask[row * 6 + column] = 1;
  }
  for (int i = 0; i < 30; ++i) {
    if (image.mask[i] != 0) image.scores[i] = 0.9F;
  }
  image.scores[1 * 6 + 4] = 0.1F;
  image.scores[4 * 6 + 4] = image.scores[4 * 6 + 5] = 0.9F;

  const PixelMetrics metrics = metrics_of({image});

  EXPECT_NEAR(metrics.aupro.value(), 0.7574074074, kTolerance);
  EXPECT_DOUBLE_EQ(metrics.auroc.value(), 0.9);
  EXPECT_NEAR(metrics.ap.value(), 0.7696969697, kTolerance);
  EXPECT_NEAR(metrics.f1max.value(), 0.8571428571, kTolerance);
}

TEST(PixelMetrics, AgreeWithTheDefinitionsOnRandomImagesWithTies) {
  std::mt19937 rng(11);
  for (int trial = 0; trial < 60; ++trial) {
    SCOPED_TRACE(trial);
    expect_definitions(random_images(rng, {}), 0.3, trial % 2 == 0 ? 8 : 4);
  }
}

TEST(PixelMetrics, AgreeWithTheDefinitionsOnScoresThatSpanManyExponents) {
  std::mt19937 rng(12);
  for (int trial = 0; trial < 10; ++trial) {
    SCOPED_TRACE(trial);
    std::vector<PixelImage> images = random_images(rng, {.levels = 0, .lowest = -1});
    for (PixelImage& image : images) {
      for (float& score : image.scores) score = std::pow(score, 15.0F) * 1e20F;
    }
    expect_definitions(images, 0.3, 8);
  }
}

TEST(PixelMetrics, AgreeWithTheDefinitionsForEveryLimit) {
  std::mt19937 rng(13);
  const std::vector<PixelImage> images = random_images(rng, {.levels = 20});
  for (const double limit : {0.01, 0.05, 0.3, 0.999, 1.0}) expect_definitions(images, limit, 8);
}

TEST(PixelMetrics, AgreeWithTheDefinitionsWhereMostPixelsAreAnomalous) {
  std::mt19937 rng(14);
  for (int trial = 0; trial < 10; ++trial) {
    expect_definitions(random_images(rng, {.density = 0.9}), 0.3, 8);
  }
}

TEST(PixelMetrics, GiveTheSameBitsForEveryOrderOfTheImages) {
  std::mt19937 rng(15);
  std::vector<PixelImage> images = random_images(rng, {.num_images = 7, .levels = 300});
  const PixelMetrics expected = metrics_of(images);
  for (int trial = 0; trial < 20; ++trial) {
    std::shuffle(images.begin(), images.end(), rng);
    expect_same_bits(metrics_of(images), expected);
  }
}

TEST(PixelMetrics, GiveTheSameBitsForEveryNumberOfThreads) {
  std::mt19937 rng(18);
  for (const int levels : {0, 300}) {
    const std::vector<PixelImage> images = random_images(rng, {.num_images = 9, .levels = levels});
    const PixelMetrics expected = metrics_of(images);
    for (const int num_threads : {2, 3, 8, 20}) {
      expect_same_bits(metrics_of(images, {.num_threads = num_threads}), expected);
    }
  }
}

// More normal pixels in one bin than a line or a block of NormalBins holds.
TEST(PixelMetrics, NeedOneMapAThreadAtATimeAndEachTwice) {
  std::mt19937 rng(13);
  const std::vector<PixelImage> images = random_images(rng, {.num_images = 9, .levels = 0});
  std::vector<MaskRuns> masks;
  for (const PixelImage& image : images) {
    masks.push_back(oracle::flood_fill(image.mask, image.height, image.width, 8));
  }
  for (const int num_threads : {1, 3}) {
    std::vector<Scores> buffers(num_threads);
    std::vector<std::atomic<int>> asked(images.size());
    const auto map_of = [&](std::size_t image, int thread) {
      ++asked[image];
      return std::span<const float>(buffers[thread] = images[image].scores);
    };
    expect_same_bits(pixel_metrics(map_of, masks, {.num_threads = num_threads}),
                     metrics_of(images));
    for (const auto& times : asked) EXPECT_EQ(times, 2);
  }
}

TEST(PixelMetrics, AgreeWithTheDefinitionsWhereManyPixelsShareAFewScores) {
  PixelImage image{60, 120, Scores(7200), Labels(7200, 0)};
  std::mt19937 rng(19);
  std::uniform_int_distribution<int> level(0, 2);
  for (std::size_t i = 0; i < 7200; ++i) {
    image.mask[i] = i % 97 == 0 ? 1 : 0;
    image.scores[i] = 0.25F * static_cast<float>(level(rng)) + (image.mask[i] != 0 ? 0.25F : 0.0F);
  }
  const PixelMetrics metrics = metrics_of({image});
  EXPECT_NEAR(metrics.auroc.value(), oracle::auroc_by_pairs(image.scores, image.mask), 1e-15);
  EXPECT_NEAR(metrics.ap.value(), oracle::ap_by_thresholds(image.scores, image.mask), 1e-12);
  EXPECT_EQ(metrics.f1max, oracle::f1max_by_thresholds(image.scores, image.mask));
  EXPECT_NEAR(metrics.aupro.value(), oracle::aupro_by_thresholds({image}, 0.3), 1e-12);
  expect_same_bits(metrics_of({image}, {.num_threads = 2}), metrics);
}

// Keys of .9375 and .93751 differ in bits that a bin does not tell apart.
TEST(PixelMetrics, CountANormalPixelJustAboveTheHighestAnomalousOneOnce) {
  const std::vector<PixelImage> images = {
      {1, 5, {-1, -1, .9375F, .93751F, -1.0001F}, {1, 0, 1, 0, 0}}};
  expect_definitions(images, 0.3, 8);
}

TEST(PixelMetrics, OfExactKindAreUnchangedByAnIncreasingTransform) {
  std::mt19937 rng(16);
  std::vector<PixelImage> images = random_images(rng, {.num_images = 5, .levels = 200});
  const PixelMetrics expected = metrics_of(images);
  for (PixelImage& image : images) {
    for (float& score : image.scores) score = std::exp(6 * score) - 40;
  }
  const PixelMetrics metrics = metrics_of(images);
  EXPECT_EQ(metrics.auroc, expected.auroc);
  EXPECT_EQ(metrics.ap, expected.ap);
  EXPECT_EQ(metrics.f1max, expected.f1max);
  EXPECT_EQ(metrics.aupro, expected.aupro);
  EXPECT_NE(metrics.aupro_cflow200, expected.aupro_cflow200);
}

TEST(PixelMetrics, OfInvertedMapsAddUpToOneInAuroc) {
  std::mt19937 rng(17);
  std::vector<PixelImage> images = random_images(rng, {.num_images = 5});
  const double auroc = metrics_of(images).auroc.value();
  for (PixelImage& image : images) {
    for (float& score : image.scores) score = -score;
  }
  EXPECT_NEAR(auroc + metrics_of(images).auroc.value(), 1, 1e-15);
}

TEST(PixelMetrics, OfAPerfectMapAreOneAndOfAnInvertedOneZero) {
  const PixelImage perfect{2, 3, {1, 1, 0, 0, .1F, .2F}, {1, 1, 0, 0, 0, 0}};
  EXPECT_EQ(metrics_of({perfect}).auroc, 1.0);
  EXPECT_EQ(metrics_of({perfect}).ap, 1.0);
  EXPECT_EQ(metrics_of({perfect}).f1max, 1.0);
  EXPECT_EQ(metrics_of({perfect}).aupro, 1.0);
  PixelImage inverted = perfect;
  for (float& score : inverted.scores) score = -score;
  EXPECT_EQ(metrics_of({inverted}).auroc, 0.0);
  EXPECT_EQ(metrics_of({inverted}).aupro, 0.0);
}

TEST(PixelMetrics, OfAConstantMapAreThoseOfChance) {
  const PixelMetrics metrics = metrics_of({{2, 4, Scores(8, .5F), {1, 1, 0, 0, 0, 0, 0, 0}}});
  EXPECT_EQ(metrics.auroc, 0.5);
  EXPECT_EQ(metrics.ap, 0.25);
  EXPECT_EQ(metrics.f1max, 0.4);  // 2 P / (P + n)
  EXPECT_NEAR(metrics.aupro.value(), 0.15, 1e-15);
  EXPECT_FALSE(metrics.aupro_cflow200);
  EXPECT_EQ(metrics.cflow200_undefined_because, "constant_scores");
}

TEST(PixelMetrics, DoNotJoinRegionsAcrossImages) {
  const PixelImage image{1, 2, {.5F, .1F}, {1, 0}};
  EXPECT_EQ(metrics_of({image, image, image}).num_regions, 3);
}

TEST(PixelMetrics, AreAbsentWithOneKindOfPixelOnly) {
  const PixelMetrics normal = metrics_of({{1, 2, {.5F, .1F}, {0, 0}}});
  EXPECT_FALSE(normal.auroc || normal.ap || normal.f1max || normal.aupro || normal.aupro_cflow200);
  EXPECT_EQ(normal.undefined_because, "no_anomalous_pixels");
  const PixelMetrics anomalous = metrics_of({{1, 2, {.5F, .1F}, {1, 1}}});
  EXPECT_FALSE(anomalous.auroc || anomalous.aupro);
  EXPECT_EQ(anomalous.undefined_because, "no_normal_pixels");
}

TEST(PixelMetrics, NameTheImageWhoseMapIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
        std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    std::vector<PixelImage> images(3, {1, 3, {.5F, .1F, .2F}, {1, 0, 0}});
    images[1].scores[2] = bad;
    EXPECT_THAT([&] { (void)metrics_of(images); },
                testing::ThrowsMessage<DataError>(testing::HasSubstr(fmt::format(
                    "the map of image 1 is {} at row 0, column 2, expected finite", bad))));
  }
}

TEST(PixelMetrics, RefuseMapsOfAnotherSizeThanTheirMasks) {
  EXPECT_THAT(
      [] {
        (void)metrics_of({{2, 2, {.5F, .1F, .2F}, {1, 0, 0, 0}}});
      },
      testing::ThrowsMessage<std::invalid_argument>(
          testing::HasSubstr("map 0 has 3 scores, its mask is 2 x 2")));
}

TEST(PixelMetrics, RefuseALimitOutsideOfZeroToOne) {
  for (const double limit : {0.0, -0.1, 1.1, std::nan("")}) {
    EXPECT_THROW((void)metrics_of(specification_images(), {.aupro_limit = limit}),
                 std::invalid_argument);
  }
}

}  // namespace
}  // namespace assay
