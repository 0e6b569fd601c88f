#include "evaluator/metrics.h"
#include "tests/evaluator/oracles.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace assay {
namespace {

using oracle::Labels;
using oracle::Scores;

void expect_metrics(
    const Scores& scores, const Labels& labels, double auroc, double ap, double f1max) {
  const ImageMetrics metrics = image_metrics(scores, labels);
  EXPECT_NEAR(metrics.auroc.value(), auroc, 1e-10);
  EXPECT_NEAR(metrics.ap.value(), ap, 1e-10);
  EXPECT_NEAR(metrics.f1max.value(), f1max, 1e-10);
}

// Few levels: every trial has ties within and across the labels.
std::pair<Scores, Labels> random_scores_with_ties(std::mt19937& rng) {
  std::uniform_int_distribution<int> size(0, 60), level(-5, 5), coin(0, 1);
  Labels labels = {0, 1};
  for (int i = size(rng); i > 0; --i) labels.push_back(static_cast<std::uint8_t>(coin(rng)));
  Scores scores(labels.size());
  std::ranges::generate(scores, [&] { return static_cast<float>(level(rng)) / 4; });
  return {scores, labels};
}

// `spec/metrics.md` 6.3, scikit-learn 1.2.1.
TEST(ImageMetrics, AgreeWithScikitLearnOnTheVectorsOfTheSpecification) {
  expect_metrics({.1F, .4F, .35F, .8F}, {0, 0, 1, 1}, 0.75, 0.8333333333333, 0.8);
  expect_metrics({.1F, .4F, .35F, .8F, .4F, .4F}, {0, 1, 1, 0, 1, 0}, 0.4444444444444,
                 0.5333333333333, 0.75);
  expect_metrics({.5F, .5F, .5F, .5F}, {1, 0, 1, 0}, 0.5, 0.5, 0.6666666666667);
  expect_metrics({.9F, .9F, .2F, .9F}, {1, 1, 1, 0}, 0.3333333333333, 0.6944444444444,
                 0.8571428571429);
  expect_metrics({.9F, .8F, .7F, .1F}, {0, 0, 0, 1}, 0, 0.25, 0.4);
}

TEST(ImageMetrics, OfDoublesAreExactWhereFloatsWouldTie) {
  const double above = 0.5 + 1e-12;
  const Labels labels = {0, 1, 0, 1};
  EXPECT_EQ(image_metrics(std::vector{0.5, above, -1e300, 1e300}, labels).auroc, 1.0);
  EXPECT_EQ(image_metrics(std::vector{above, 0.5, -1e300, 1e300}, labels).auroc, 0.75);
  EXPECT_EQ(image_metrics(std::vector{0.0, -0.0}, Labels{0, 1}).auroc, 0.5);
}

TEST(ImageMetrics, OfDoublesThatAreFloatsAreThoseOfTheFloats) {
  std::mt19937 rng(11);
  for (int trial = 0; trial < 100; ++trial) {
    const auto [scores, labels] = random_scores_with_ties(rng);
    EXPECT_EQ(image_metrics(std::vector<double>(scores.begin(), scores.end()), labels),
              image_metrics(scores, labels));
  }
}

TEST(ImageMetrics, DoNotDependOnWhichOfTwoTiedImagesComesFirst) {
  expect_metrics({.5F, .5F}, {1, 0}, 0.5, 0.5, 0.6666666666667);
  expect_metrics({.5F, .5F}, {0, 1}, 0.5, 0.5, 0.6666666666667);
}

TEST(ImageMetrics, TakeApStepwiseAndNotByTrapezoids) {
  expect_metrics({.9F, .8F, .7F, .6F, .5F, .4F}, {0, 1, 0, 1, 1, 0}, 0.4444444444444,
                 0.5333333333333, 0.75);
  expect_metrics({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 1, 1, 1, 1, 1, 0, 1, 1}, 0.2222222222222,
                 0.8782627865961, 0.9473684210526);
}

TEST(ImageMetrics, DoNotSquashLargeLogits) {
  expect_metrics({30.25F, 30.0F, 30.5F, 31, 31.5F, 32, 33}, {0, 1, 1, 1, 1, 1, 1}, 0.8333333333333,
                 0.9761904761905, 0.9230769230769);
}

TEST(ImageMetrics, TakeNegativeAndPositiveScoresAsTheyAre) {
  const Scores scores = {-2, -1.5F, -1, -.5F, .2F, .4F, .8F, 1.5F, 1.9F};
  EXPECT_EQ(image_metrics(scores, Labels{0, 0, 0, 0, 1, 1, 1, 1, 1}).auroc, 1.0);
}

TEST(ImageMetrics, OfFiveImagesCountFive) {
  const Scores scores = {.8F, .9F, .3F, .6F, .2F};
  const Labels labels = {0, 1, 0, 1, 1};
  expect_metrics(scores, labels, 0.5, 0.7555555555556, 0.75);
  EXPECT_EQ(image_metrics(scores, labels).num_anomalous, 3);
  EXPECT_EQ(image_metrics(scores, labels).num_normal, 2);
}

TEST(ImageMetrics, AgreeWithTheDefinitionsOnRandomScoresWithTies) {
  std::mt19937 rng(20240521);
  for (int trial = 0; trial < 300; ++trial) {
    const auto [scores, labels] = random_scores_with_ties(rng);
    const ImageMetrics metrics = image_metrics(scores, labels);
    ASSERT_EQ(metrics.auroc, oracle::auroc_by_pairs(scores, labels)) << "trial " << trial;
    ASSERT_NEAR(metrics.ap.value(), oracle::ap_by_thresholds(scores, labels), 1e-13);
    ASSERT_EQ(metrics.f1max, oracle::f1max_by_thresholds(scores, labels)) << "trial " << trial;
  }
}

TEST(ImageMetrics, GiveTheSameBitsForEveryOrderOfTheImages) {
  std::mt19937 rng(7);
  const auto [scores, labels] = random_scores_with_ties(rng);
  const ImageMetrics expected = image_metrics(scores, labels);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  for (int trial = 0; trial < 20; ++trial) {
    std::shuffle(order.begin(), order.end(), rng);
    Scores shuffled_scores;
    Labels shuffled_labels;
    for (const std::size_t i : order) {
      shuffled_scores.push_back(scores[i]);
      shuffled_labels.push_back(labels[i]);
    }
    const ImageMetrics metrics = image_metrics(shuffled_scores, shuffled_labels);
    EXPECT_EQ(metrics.auroc, expected.auroc);
    EXPECT_EQ(metrics.ap, expected.ap);
    EXPECT_EQ(metrics.f1max, expected.f1max);
    EXPECT_EQ(metrics.f1max_threshold, expected.f1max_threshold);
  }
}

TEST(ImageMetrics, ReportTheHighestOfTheThresholdsWithTheLargestF1) {
  // F1 is 2/3 at 0.9 (TP 1, FP 0, P 2), at 0.3 (TP 2, FP 2) and nowhere more.
  const ImageMetrics metrics = image_metrics(Scores{.9F, .8F, .7F, .3F}, Labels{1, 0, 0, 1});
  EXPECT_DOUBLE_EQ(metrics.f1max.value(), 2.0 / 3.0);
  EXPECT_EQ(metrics.f1max_threshold, 0.9F);
}

TEST(ImageMetrics, TieZeroWithMinusZero) {
  EXPECT_EQ(image_metrics(Scores{0.0F, -0.0F}, Labels{0, 1}).auroc, 0.5);
  EXPECT_EQ(image_metrics(Scores{0.0F, -0.0F}, Labels{1, 0}).auroc, 0.5);
}

TEST(ImageMetrics, TellSubnormalScoresApart) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(image_metrics(Scores{-kTiny, 0, kTiny}, Labels{0, 0, 1}).auroc, 1.0);
}

TEST(ImageMetrics, AreAbsentWithoutNormalImages) {
  const ImageMetrics metrics = image_metrics(Scores{.1F, .2F}, Labels{1, 1});
  EXPECT_FALSE(metrics.auroc || metrics.ap || metrics.f1max || metrics.f1max_threshold);
  EXPECT_EQ(metrics.undefined_because, "no_normals");
  EXPECT_EQ(metrics.num_anomalous, 2);
}

TEST(ImageMetrics, AreAbsentWithoutAnomalousImages) {
  EXPECT_EQ(image_metrics(Scores{.1F}, Labels{0}).undefined_because, "no_anomalies");
  EXPECT_EQ(image_metrics(Scores{}, Labels{}).undefined_because, "no_anomalies");
}

TEST(ImageMetrics, NameTheImageWhoseScoreIsNotANumber) {
  const Scores scores = {.1F, .2F, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THAT(
      [&] {
        (void)image_metrics(scores, Labels{0, 1, 0});
      },
      testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr("image 2 is nan")));
  EXPECT_THROW(
      (void)image_metrics(Scores{.1F, std::numeric_limits<float>::infinity()}, Labels{0, 1}),
      std::invalid_argument);
}

TEST(ImageMetrics, RefuseListsOfDifferentLength) {
  EXPECT_THROW((void)image_metrics(Scores{.1F}, Labels{0, 1}), std::invalid_argument);
}

}  // namespace
}  // namespace assay
