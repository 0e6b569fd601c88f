// Properties of `spec/metrics.md` 6.3 on images that RapidCheck draws and makes small again.

#include "evaluator/binned_pixels.h"
#include "tests/evaluator/pixel_images.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace assay {
namespace {

using oracle::PixelImage;

// Images with pixels of both kinds; scores with many ties or none, of either sign.
std::vector<PixelImage> any_images() {
  const int num_levels = *rc::gen::element(2, 5, 40, 100'000);
  const auto pixel = rc::gen::pair(rc::gen::inRange(-num_levels, num_levels + 1),
                                   rc::gen::weightedElement<int>({{3, 0}, {1, 1}}));
  std::vector<PixelImage> images;
  const int num_images = *rc::gen::inRange(1, 6);
  for (int i = 0; i < num_images; ++i) {
    const auto height = *rc::gen::inRange<std::int32_t>(1, 8);
    const auto width = *rc::gen::inRange<std::int32_t>(1, 8);
    const auto pixels =
        *rc::gen::container<std::vector<std::pair<int, int>>>(height * width, pixel);
    PixelImage image{height, width, {}, {}};
    for (const auto& [level, mask] : pixels) {
      image.scores.push_back(static_cast<float>(level) / static_cast<float>(num_levels));
      image.mask.push_back(static_cast<std::uint8_t>(mask));
    }
    images.push_back(image);
  }
  const PixelImage all = oracle::pooled(images);
  const auto num_anomalous = std::ranges::count(all.mask, 1);
  RC_PRE(num_anomalous > 0 && num_anomalous < static_cast<std::int64_t>(all.mask.size()));
  return images;
}

void transform(std::vector<PixelImage>& images, const std::function<float(float)>& function) {
  for (PixelImage& image : images)
    std::ranges::transform(image.scores, image.scores.begin(), function);
}

void assert_same_bits(const PixelMetrics& a, const PixelMetrics& b) {
  RC_ASSERT(a.auroc == b.auroc);
  RC_ASSERT(a.ap == b.ap);
  RC_ASSERT(a.f1max == b.f1max);
  RC_ASSERT(a.aupro == b.aupro);
}

BinnedPixels counted(const std::vector<PixelImage>& images,
                     float lowest,
                     float highest,
                     int num_bins) {
  BinnedPixels pixels(lowest, highest, num_bins);
  for (const PixelImage& image : images) {
    pixels.add(image.scores, oracle::flood_fill(image.mask, image.height, image.width));
  }
  return pixels;
}

void assert_inside(const std::optional<double>& value, const Bracket& bracket) {
  RC_ASSERT(*value >= bracket.lower - 1e-12);
  RC_ASSERT(*value <= bracket.upper + 1e-12);
}

RC_GTEST_PROP(MetricProperties, IncreasingTransformsChangeNoBitOfRankMetrics, ()) {
  std::vector<PixelImage> images = any_images();
  const PixelMetrics expected = metrics_of(images);
  // Strictly increasing, and exact in float32.
  transform(images, [](float s) { return s < 0 ? s * 0.125F : s * 1024; });
  assert_same_bits(metrics_of(images), expected);
}

RC_GTEST_PROP(MetricProperties, AurocOfInvertedScoresIsTheRestToOne, ()) {
  std::vector<PixelImage> images = any_images();
  const double auroc = *metrics_of(images).auroc;
  transform(images, [](float s) { return -s; });
  RC_ASSERT(std::abs(auroc + *metrics_of(images).auroc - 1) <= 1e-15);
}

RC_GTEST_PROP(MetricProperties, OrderAndThreadsChangeNoBit, ()) {
  std::vector<PixelImage> images = any_images();
  const PixelMetrics expected = metrics_of(images);
  std::shuffle(images.begin(), images.end(), std::mt19937(*rc::gen::arbitrary<unsigned>()));
  const PixelMetrics metrics = metrics_of(images, {.num_threads = *rc::gen::inRange(1, 9)});
  assert_same_bits(metrics, expected);
  RC_ASSERT(metrics.aupro_cflow200 == expected.aupro_cflow200);
}

RC_GTEST_PROP(MetricProperties, Cflow200IsThatOfTheLiteralFunction, ()) {
  const std::vector<PixelImage> images = any_images();
  const std::optional<double> literal = oracle::cflow200_literal(images);
  const PixelMetrics metrics = metrics_of(images);
  RC_ASSERT(metrics.aupro_cflow200.has_value() == literal.has_value());
  if (literal) RC_ASSERT(std::abs(*metrics.aupro_cflow200 - *literal) <= 1e-12);
}

RC_GTEST_PROP(MetricProperties, BracketsOfAnyBinsHoldTheExactValues, ()) {
  const std::vector<PixelImage> images = any_images();
  const double limit = *rc::gen::element(0.01, 0.05, 0.3, 1.0);
  const PixelMetrics exact = metrics_of(images, {.aupro_limit = limit});
  // Narrower than the scores too: what lies beyond falls into the outer bins.
  const float highest = *rc::gen::element(0.1F, 0.5F, 1.0F, 3.0F);
  const int num_bins = *rc::gen::element(1, 2, 7, 64, 1 << 16);
  const BinnedMetrics binned = counted(images, -highest, highest, num_bins).result(limit);
  assert_inside(exact.auroc, binned.brackets->auroc);
  assert_inside(exact.ap, binned.brackets->ap);
  assert_inside(exact.f1max, binned.brackets->f1max);
  assert_inside(exact.aupro, binned.brackets->aupro);
  assert_inside(binned.metrics.auroc, binned.brackets->auroc);
  assert_inside(binned.metrics.ap, binned.brackets->ap);
  assert_inside(binned.metrics.f1max, binned.brackets->f1max);
  assert_inside(binned.metrics.aupro, binned.brackets->aupro);
  RC_ASSERT(binned.metrics.num_regions == exact.num_regions);
}

RC_GTEST_PROP(MetricProperties, BinnedMetricsAreThoseOfTheRoundedScores, ()) {
  std::vector<PixelImage> images = any_images();
  const BinnedMetrics binned = counted(images, -1, 1, 8).result(0.3);
  transform(images, [](float s) { return std::min(std::floor((s + 1) * 4), 7.0F); });
  const PixelMetrics rounded = metrics_of(images);
  RC_ASSERT(binned.metrics.auroc == rounded.auroc);
  RC_ASSERT(std::abs(*binned.metrics.ap - *rounded.ap) <= 1e-12);
  RC_ASSERT(binned.metrics.f1max == rounded.f1max);
  RC_ASSERT(std::abs(*binned.metrics.aupro - *rounded.aupro) <= 1e-12);
}

RC_GTEST_PROP(MetricProperties, ShardsMergeToTheSameBits, ()) {
  const std::vector<PixelImage> images = any_images();
  const BinnedMetrics expected = counted(images, -1, 1, 500).result(0.3);
  std::vector<BinnedPixels> shards(*rc::gen::inRange<std::size_t>(1, 5), BinnedPixels(-1, 1, 500));
  for (const PixelImage& image : images) {
    BinnedPixels& shard = shards[*rc::gen::inRange<std::size_t>(0, shards.size())];
    shard.add(image.scores, oracle::flood_fill(image.mask, image.height, image.width));
  }
  BinnedPixels all(-1, 1, 500);
  for (const BinnedPixels& shard : shards) all.merge(BinnedPixels::load(shard.save()));
  RC_ASSERT(all.result(0.3) == expected);
}

}  // namespace
}  // namespace assay
