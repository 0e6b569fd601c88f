#include "trainer/sampler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace assay {
namespace {

std::vector<std::int64_t> images_of_step(Sampler& sampler, std::int64_t step) {
  std::vector<std::int64_t> images;
  for (const VirtualShard& shard : sampler.shards(step)) {
    images.insert(images.end(), shard.begin(), shard.end());
  }
  return images;
}

std::vector<std::int64_t> images_of_epoch(Sampler& sampler, std::int64_t epoch) {
  std::vector<std::int64_t> images;
  for (std::int64_t i = 1; i <= sampler.steps_per_epoch(); ++i) {
    const auto step = images_of_step(sampler, (epoch - 1) * sampler.steps_per_epoch() + i);
    images.insert(images.end(), step.begin(), step.end());
  }
  return images;
}

TEST(Sampler, UsesEveryImageOnceAnEpochAndKeepsASmallLastBatch) {
  struct Case {
    std::int64_t images, steps, last;
  };
  for (const Case& c : {Case{1725, 216, 5}, Case{9, 2, 1}, Case{3, 1, 3}, Case{16, 2, 8}}) {
    Sampler sampler(c.images, 8, 2, 111);
    EXPECT_EQ(sampler.steps_per_epoch(), c.steps);
    EXPECT_EQ(images_of_step(sampler, 2 * c.steps).size(), c.last);
    std::vector<std::int64_t> all = images_of_epoch(sampler, 2);
    std::ranges::sort(all);
    std::vector<std::int64_t> expected(c.images);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(all, expected);
  }
}

TEST(Sampler, CutsABatchIntoShardsOfTwoAndARest) {
  Sampler sampler(9, 5, 2, 0);
  EXPECT_THAT(sampler.shards(1), ::testing::ElementsAre(::testing::SizeIs(2), ::testing::SizeIs(2),
                                                        ::testing::SizeIs(1)));
}

TEST(Sampler, OrdersByEpochAndSeedAlone) {
  Sampler sampler(50, 8, 2, 0);
  const auto first = images_of_epoch(sampler, 1);
  const auto third = images_of_epoch(sampler, 3);
  EXPECT_NE(first, third);
  Sampler again(50, 8, 2, 0);
  EXPECT_EQ(images_of_epoch(again, 3), third);  // Without the epochs before it.
  Sampler other_batch(50, 5, 3, 0);
  EXPECT_EQ(images_of_epoch(other_batch, 3), third);
  Sampler other_seed(50, 8, 2, 1);
  EXPECT_NE(images_of_epoch(other_seed, 3), third);
}

TEST(Sampler, RefusesCountsBelowOne) {
  EXPECT_THROW(Sampler(0, 8, 2, 0), std::invalid_argument);
  EXPECT_THROW(Sampler(8, 0, 2, 0), std::invalid_argument);
  EXPECT_THROW(Sampler(8, 8, 0, 0), std::invalid_argument);
}

TEST(ShardsOfRank, AreContiguousPiecesThatDifferByOneAtMost) {
  for (std::int64_t shards = 0; shards < 12; ++shards) {
    for (int ranks = 1; ranks < 8; ++ranks) {
      std::int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const ShardRange range = shards_of_rank(shards, rank, ranks);
        EXPECT_EQ(range.begin, next);
        EXPECT_GE(range.end - range.begin, shards / ranks);
        EXPECT_LE(range.end - range.begin, shards / ranks + 1);
        next = range.end;
      }
      EXPECT_EQ(next, shards);
    }
  }
}

}  // namespace
}  // namespace assay
