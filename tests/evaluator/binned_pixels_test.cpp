#include "evaluator/binned_pixels.h"

#include "core/error.h"
#include "tests/evaluator/pixel_images.h"

#include <gmock/gmock.h>

#include <limits>

namespace assay {
namespace {

using oracle::PixelImage;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

BinnedPixels counted(const std::vector<PixelImage>& images, float lowest, float highest) {
  BinnedPixels pixels(lowest, highest);
  for (const PixelImage& image : images) {
    pixels.add(image.scores, oracle::flood_fill(image.mask, image.height, image.width));
  }
  return pixels;
}

TEST(BinnedPixels, AreNearTheExactMetricsOfTheSpecification) {
  const std::vector<PixelImage> images = specification_images();
  const BinnedMetrics binned = counted(images, 0, 1).result(0.3);
  const PixelMetrics exact = metrics_of(images);
  EXPECT_NEAR(binned.metrics.auroc.value(), exact.auroc.value(), 1e-4);
  EXPECT_NEAR(binned.metrics.ap.value(), exact.ap.value(), 1e-4);
  EXPECT_NEAR(binned.metrics.f1max.value(), exact.f1max.value(), 1e-4);
  EXPECT_NEAR(binned.metrics.aupro.value(), exact.aupro.value(), 1e-4);
  EXPECT_NEAR(binned.metrics.f1max_threshold.value(), exact.f1max_threshold.value(), 1.0 / 65536);
  EXPECT_LT(binned.brackets->aupro.upper - binned.brackets->aupro.lower, 1e-3);
  EXPECT_EQ(binned.metrics.num_normal, exact.num_normal);
  EXPECT_EQ(binned.metrics.num_anomalous, exact.num_anomalous);
  EXPECT_EQ(binned.metrics.num_regions, 4);
}

TEST(BinnedPixels, AreExactWhereEachBinHoldsOneScore) {
  std::vector<PixelImage> images = specification_images();
  for (PixelImage& image : images) {
    for (float& score : image.scores) score = std::floor(16 * score) / 16;
  }
  const BinnedMetrics binned = counted(images, 0, 1).result(0.3);
  EXPECT_NEAR(binned.metrics.auroc.value(), 0.7888276553, 1e-10);
  EXPECT_NEAR(binned.metrics.ap.value(), 0.4214880885, 1e-10);
  EXPECT_NEAR(binned.metrics.f1max.value(), 0.5555555556, 1e-10);
  EXPECT_NEAR(binned.metrics.aupro.value(), 0.5023362469, 1e-10);
}

TEST(BinnedPixels, ReportTheLowestScoreOfTheBinAsThreshold) {
  // Bins of a quarter: the anomalous scores fall into [.5, .75) and [.75, 1].
  BinnedPixels pixels(0, 1, 4);
  pixels.add(oracle::Scores{.6F, .9F, .1F, .3F}, oracle::flood_fill({1, 1, 0, 0}, 1, 4));
  const BinnedMetrics binned = pixels.result(0.3);
  EXPECT_EQ(binned.metrics.f1max, 1.0);
  EXPECT_EQ(binned.metrics.f1max_threshold, 0.5F);
}

TEST(BinnedPixels, TakeRangesThatOverflowOrAreEmpty) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const auto of_scale = [](float scale) {
    return counted({{1, 4, {scale, 0, 0, -scale}, {1, 0, 0, 0}}}, -scale, scale).result(1);
  };
  EXPECT_EQ(of_scale(kLargest).metrics.auroc, 1.0);
  EXPECT_EQ(of_scale(kTiny).brackets->auroc.upper, 1.0) << "too narrow for bins of their own";
  const BinnedMetrics constant = counted({{1, 2, {.5F, .5F}, {1, 0}}}, .5F, .5F).result(0.3);
  EXPECT_EQ(constant.metrics.auroc, 0.5);
  EXPECT_EQ(constant.brackets->auroc, (Bracket{0, 1}));
}

TEST(BinnedPixels, AreAbsentWithOneKindOfPixelOnly) {
  const BinnedMetrics normal = counted({{1, 2, {.5F, .1F}, {0, 0}}}, 0, 1).result(0.3);
  EXPECT_EQ(normal.metrics.undefined_because, "no_anomalous_pixels");
  EXPECT_FALSE(normal.metrics.auroc || normal.brackets);
  const BinnedMetrics anomalous = counted({{1, 2, {.5F, .1F}, {1, 1}}}, 0, 1).result(0.3);
  EXPECT_EQ(anomalous.metrics.undefined_because, "no_normal_pixels");
}

TEST(BinnedPixels, AreNotAddedToOthersOfOtherBins) {
  BinnedPixels pixels(0, 1);
  EXPECT_THROW(pixels.merge(BinnedPixels(0, 2)), std::invalid_argument);
  EXPECT_THROW(pixels.merge(BinnedPixels(0, 1, 100)), std::invalid_argument);
  EXPECT_THROW(BinnedPixels(1, 0), std::invalid_argument);
  EXPECT_THROW(BinnedPixels(0, 1, 0), std::invalid_argument);
  EXPECT_THROW(pixels.add(oracle::Scores{1}, MaskRuns{1, 2, {}, {}}), std::invalid_argument);
}

TEST(BinnedPixels, AreNotLoadedFromAnythingElse) {
  std::vector<std::byte> bytes = BinnedPixels(0, 1, 3).save();
  EXPECT_NO_THROW((void)BinnedPixels::load(bytes));
  EXPECT_THROW((void)BinnedPixels::load(std::span(bytes).first(bytes.size() - 1)), DataError);
  EXPECT_THROW((void)BinnedPixels::load({}), DataError);
  bytes[0] = std::byte{'?'};
  EXPECT_THAT([&] { (void)BinnedPixels::load(bytes); },
              ThrowsMessage<DataError>(HasSubstr("no state of binned metrics of format 1")));
}

}  // namespace
}  // namespace assay
