#include "evaluator/evaluate.h"

#include "core/error.h"
#include "core/random.h"
#include "evaluator/anomaly_map.h"
#include "tests/evaluator/oracles.h"
#include "tests/support/thread_communicator.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <limits>
#include <mutex>

namespace assay {
namespace {

constexpr std::int64_t kGrid = 4, kSize = 16;
constexpr EvaluateOptions kOptions{
    .image_size = kSize, .eval_size = kSize, .sigma = 1, .pixel = {}};

struct Evaluation {
  ImagePredictions predictions;
  EvaluationTruth truth;
};

// `num_images` images of three categories in turn, every second one anomalous.
Evaluation make_evaluation(std::int64_t num_images) {
  const RandomStream random(5, "evaluate_test");
  Evaluation made;
  made.predictions.scores = at::empty({num_images}, at::kFloat);
  made.predictions.grids = at::empty({num_images, kGrid, kGrid}, at::kFloat);
  std::uint64_t draw = 0;
  for (std::int64_t i = 0; i < num_images; ++i) {
    const bool anomalous = i % 2 == 1;
    made.predictions.scores[i] = random.uniform(draw++) + (anomalous ? 0.3 : 0);
    for (std::int64_t p = 0; p < kGrid * kGrid; ++p) {
      made.predictions.grids[i][p / kGrid][p % kGrid] = random.uniform(draw++);
    }
    made.truth.names.push_back("test/" + std::to_string(i) + ".png");
    made.truth.categories.push_back(std::vector<std::string>{"screw", "grid", "bottle"}[i % 3]);
    made.truth.labels.push_back(anomalous ? 1 : 0);
    oracle::Labels mask(kSize * kSize, 0);
    if (anomalous) mask[static_cast<std::size_t>(40 + 3 * i)] = mask[200] = 1;
    made.truth.masks.push_back(oracle::flood_fill(mask, kSize, kSize));
  }
  return made;
}

// Rank r of R scores the images r, r + R, ...
ImagePredictions gathered(const ImagePredictions& all, Communicator& comm) {
  std::vector<std::int64_t> mine;
  for (std::int64_t i = comm.rank(); i < all.scores.size(0); i += comm.world_size()) {
    mine.push_back(i);
  }
  const at::Tensor rows = at::tensor(mine, at::kLong);
  return gather_predictions({all.scores.index_select(0, rows), all.grids.index_select(0, rows)},
                            mine, all.scores.size(0), comm);
}

TEST(Evaluate, GivesTheMetricsOfTheMapsOfEachCategory) {
  const Evaluation made = make_evaluation(12);
  SingleCommunicator comm;

  const std::vector<CategoryResult> results =
      evaluate(made.predictions, made.truth, kOptions, comm);

  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[0].category, "bottle");
  EXPECT_EQ(results[2].category, "screw");
  oracle::PixelImage pooled;
  oracle::Scores scores;
  oracle::Labels labels;
  const at::Tensor maps =
      AnomalyMapOperator(kGrid, kSize, kOptions.sigma, kSize)(made.predictions.grids);
  for (std::int64_t i = 0; i < 12; i += 3) {  // screw
    const float* map = maps.const_data_ptr<float>() + i * kSize * kSize;
    pooled.scores.insert(pooled.scores.end(), map, map + kSize * kSize);
    oracle::Labels mask(kSize * kSize, 0);
    for (const MaskRun& run : made.truth.masks[i].runs) {
      for (int x = run.first; x <= run.last; ++x) mask[run.row * kSize + x] = 1;
    }
    pooled.mask.insert(pooled.mask.end(), mask.begin(), mask.end());
    scores.push_back(made.predictions.scores[i].item<float>());
    labels.push_back(made.truth.labels[i]);
  }
  EXPECT_EQ(results[2].pixel.auroc, oracle::auroc_by_pairs(pooled.scores, pooled.mask));
  EXPECT_EQ(results[2].image.auroc, oracle::auroc_by_pairs(scores, labels));
  EXPECT_EQ(results[2].num_images, 4);
}

TEST(Evaluate, GivesTheSameBitsOnAnyNumberOfRanks) {
  at::set_num_threads(1);
  const Evaluation made = make_evaluation(13);
  SingleCommunicator single;
  const std::vector<CategoryResult> expected =
      evaluate(made.predictions, made.truth, kOptions, single);
  for (const int world_size : {1, 2, 3, 8}) {
    std::mutex mutex;
    run_on_threads(world_size, [&](Communicator& comm) {
      at::set_num_threads(1);
      const std::vector<CategoryResult> results =
          evaluate(gathered(made.predictions, comm), made.truth, kOptions, comm);
      const std::lock_guard lock(mutex);
      EXPECT_EQ(results, expected) << "rank " << comm.rank() << " of " << world_size;
    });
  }
}

TEST(Evaluate, CountsEveryImageOnceWithMoreRanksThanImages) {
  Evaluation made = make_evaluation(5);
  made.predictions.scores = at::tensor({.8F, .9F, .3F, .6F, .2F});
  made.truth.labels = {0, 1, 0, 1, 1};
  made.truth.categories.assign(5, "cell");
  run_on_threads(8, [&](Communicator& comm) {
    const std::vector<CategoryResult> results =
        evaluate(gathered(made.predictions, comm), made.truth, kOptions, comm);
    ASSERT_EQ(results.size(), 1U);
    EXPECT_EQ(results[0].num_images, 5);
    EXPECT_EQ(results[0].image.auroc, 0.5);
    EXPECT_NEAR(results[0].image.ap.value(), 0.7555555555556, 1e-12);
  });
}

TEST(Evaluate, NeverPoolsCategories) {
  Evaluation made = make_evaluation(8);
  made.predictions.scores = at::tensor({.1F, .2F, .3F, .4F, .6F, .7F, .8F, .9F});
  made.truth.labels = {0, 0, 1, 1, 0, 0, 1, 1};
  made.truth.categories = {"a", "a", "a", "a", "b", "b", "b", "b"};
  SingleCommunicator comm;
  const auto results = evaluate(made.predictions, made.truth, kOptions, comm);
  EXPECT_EQ(results[0].image.auroc, 1.0);
  EXPECT_EQ(results[1].image.auroc, 1.0);
}

TEST(Evaluate, OfNegatedMapsAddsUpToOneInAuroc) {
  const Evaluation made = make_evaluation(12);
  SingleCommunicator comm;
  const auto results = evaluate(made.predictions, made.truth, kOptions, comm);
  const auto negated =
      evaluate({-made.predictions.scores, -made.predictions.grids}, made.truth, kOptions, comm);
  for (std::size_t c = 0; c < results.size(); ++c) {
    EXPECT_NEAR(results[c].pixel.auroc.value() + negated[c].pixel.auroc.value(), 1, 1e-15);
    EXPECT_NEAR(results[c].image.auroc.value() + negated[c].image.auroc.value(), 1, 1e-15);
  }
}

TEST(Evaluate, LeavesPixelMetricsOutWithoutMasks) {
  Evaluation made = make_evaluation(6);
  made.truth.masks.clear();
  SingleCommunicator comm;
  const auto results = evaluate(made.predictions, made.truth, kOptions, comm);
  EXPECT_TRUE(results[0].image.auroc.has_value());
  EXPECT_FALSE(results[0].pixel.auroc.has_value());
  EXPECT_EQ(results[0].pixel.undefined_because, "no_masks");
}

TEST(Evaluate, CountsAnomalousImagesWhoseMaskIsEmpty) {
  Evaluation made = make_evaluation(12);
  made.truth.masks[3] = oracle::flood_fill(oracle::Labels(kSize * kSize, 0), kSize, kSize);
  SingleCommunicator comm;
  const auto results = evaluate(made.predictions, made.truth, kOptions, comm);
  EXPECT_EQ(results[2].num_empty_masks, 1);
  EXPECT_EQ(results[0].num_empty_masks, 0);
}

TEST(Evaluate, NamesTheImageWhoseScoreIsNotFinite) {
  Evaluation made = make_evaluation(6);
  made.predictions.scores[4] = std::numeric_limits<float>::quiet_NaN();
  SingleCommunicator comm;
  EXPECT_THAT([&] { (void)evaluate(made.predictions, made.truth, kOptions, comm); },
              testing::ThrowsMessage<JobError>(
                  testing::HasSubstr("test/4.png: the image score is NaN or infinite")));
}

TEST(Evaluate, NamesTheImageWhoseMapIsNotFinite) {
  Evaluation made = make_evaluation(6);
  made.predictions.grids[2][1][1] = std::numeric_limits<float>::infinity();
  SingleCommunicator comm;
  EXPECT_THAT([&] { (void)evaluate(made.predictions, made.truth, kOptions, comm); },
              testing::ThrowsMessage<JobError>(
                  testing::HasSubstr("test/2.png: the anomaly map is NaN or infinite")));
}

TEST(Evaluate, FailsOnEveryRankWhereOneCategoryFails) {
  const Evaluation made = make_evaluation(12);
  EvaluateOptions options = kOptions;
  options.pixel.aupro_limit = 2;
  run_on_threads(2, [&](Communicator& comm) {
    EXPECT_THAT(
        [&] { (void)evaluate(made.predictions, made.truth, options, comm); },
        testing::ThrowsMessage<JobError>(testing::HasSubstr("evaluation of category bottle: ")));
  });
}

TEST(Evaluate, RefusesMasksOfAnotherSize) {
  Evaluation made = make_evaluation(3);
  made.truth.masks[2] = oracle::flood_fill(oracle::Labels(12, 0), 3, 4);
  SingleCommunicator comm;
  EXPECT_THAT([&] { (void)evaluate(made.predictions, made.truth, kOptions, comm); },
              testing::ThrowsMessage<std::invalid_argument>(
                  testing::HasSubstr("the mask of test/2.png is 3 x 4, expected 16 x 16")));
}

TEST(GatherPredictions, RefusesAnImageThatComesTwiceOrNotAtAll) {
  const Evaluation made = make_evaluation(3);
  run_on_threads(2, [&](Communicator& comm) {
    const std::vector<std::int64_t> repeated = {0, 1};  // Padded: both ranks have them.
    const ImagePredictions two{made.predictions.scores.slice(0, 0, 2),
                               made.predictions.grids.slice(0, 0, 2)};
    EXPECT_THROW((void)gather_predictions(two, repeated, 3, comm), JobError);
    const std::vector<std::int64_t> none;
    EXPECT_THAT([&] { (void)gather_predictions({}, none, 3, comm); },
                testing::ThrowsMessage<JobError>(testing::HasSubstr("image 0 of 3 has no score")));
  });
}

}  // namespace
}  // namespace assay
