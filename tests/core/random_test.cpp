#include "core/random.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

namespace assay {
namespace {

TEST(RandomStream, DependsOnSeedPurposeAndIndexAlone) {
  const RandomStream stream(7, "order");
  EXPECT_EQ(stream.bits(5), RandomStream(7, "order").bits(5));
  EXPECT_NE(stream.bits(5), stream.bits(6));
  EXPECT_NE(stream.bits(5), RandomStream(8, "order").bits(5));
  EXPECT_NE(stream.bits(5), RandomStream(7, "init").bits(5));
}

TEST(RandomStream, NormalDrawsHaveMeanZeroAndVarianceOne) {
  const RandomStream stream(0, "normal");
  double sum = 0, squares = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const double x = stream.normal(i);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1.0, 5 * std::sqrt(2.0 / kCount));
}

TEST(RandomStream, PermutationHoldsEveryIndexOnce) {
  const auto order = RandomStream(3, "order").permutation(101);
  std::vector<std::int64_t> sorted = order, all(101);
  std::ranges::sort(sorted);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_NE(order, all);
}

TEST(RandomStream, BelowStaysBelowAndReachesEveryValue) {
  const RandomStream stream(1, "below");
  std::vector<int> counts(7);
  for (int i = 0; i < 7000; ++i) ++counts.at(stream.below(i, 7));
  EXPECT_GT(*std::ranges::min_element(counts), 850);
}

}  // namespace
}  // namespace assay
