#include "core/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace assay {
namespace {

TEST(Threads, RunEachNumberOnce) {
  std::vector<std::atomic<int>> calls(5);
  on_threads(5, [&](int thread) { ++calls[static_cast<std::size_t>(thread)]; });
  for (const std::atomic<int>& each : calls) EXPECT_EQ(each, 1);
}

TEST(Threads, ShareItemsSoThatEachIsDoneOnce) {
  std::vector<std::atomic<int>> calls(1000);
  for_each_item(3, calls.size(), [&](std::size_t item, int thread) {
    EXPECT_TRUE(thread >= 0 && thread < 3);
    ++calls[item];
  });
  for (const std::atomic<int>& each : calls) EXPECT_EQ(each, 1);
}

TEST(Threads, PassOnWhatTheLowestItemThrows) {
  for (int trial = 0; trial < 20; ++trial) {
    try {
      for_each_item(4, 100, [](std::size_t item, int) {
        if (item % 10 == 7) throw std::runtime_error(std::to_string(item));
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "7");
    }
  }
}

TEST(Threads, PassOnWhatTheLowestOfThemThrows) {
  std::atomic<int> finished = 0;
  const auto work = [&](int thread) {
    if (thread == 1) throw std::runtime_error("one");
    if (thread == 2) throw std::runtime_error("two");
    ++finished;
  };
  try {
    on_threads(4, work);
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "one");
  }
  EXPECT_EQ(finished, 2);
}

}  // namespace
}  // namespace assay
