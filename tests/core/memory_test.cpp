#include "core/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace assay {
namespace {

TEST(ResidentGrowth, SeesWhatWasUsedAndFreedAgain) {
  const ResidentGrowth memory;
  if (!memory.bytes()) GTEST_SKIP() << "/proc/self/clear_refs cannot be written here";
  constexpr std::size_t kBytes = 64'000'000;
  {
    std::vector<char> used(kBytes);
    std::ranges::fill(used, 'x');
    ASSERT_EQ(used[kBytes / 2], 'x');
  }
  const auto grown = memory.bytes();
  EXPECT_GT(*grown, 0.9 * kBytes);
  const ResidentGrowth later;
  EXPECT_LT(later.bytes().value(), *grown) << "its mark starts anew";
}

}  // namespace
}  // namespace assay
