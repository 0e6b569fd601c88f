// `assay cancel` against a run that goes on.

#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::HasSubstr;

class CancelTest : public ::testing::Test {
 protected:
  [[nodiscard]] CommandResult cancel(const std::vector<std::string>& what) const {
    std::filesystem::create_directories(study_ / "cancel");
    std::vector<std::string> words = {std::string(ASSAY_BINARY_DIR) + "/assay", "cancel", "-w",
                                      study_.workspace().root.string()};
    words.insert(words.end(), what.begin(), what.end());
    return RunningCommand(words, study_ / "cancel").wait();
  }

  TinyStudy study_;
};

TEST_F(CancelTest, APatternStopsWhatRunsAndWhatNeedsItAndTheNextRunTakesThemUp) {
  const auto run = study_.start(study_.run_words({"--ranks", "2", "--slots", "2"}));
  ASSERT_EQ(study_.training_ranks().size(), 2U) << study_.errors();
  const CommandResult cancelled = cancel({"train anomalyclip*"});
  EXPECT_EQ(cancelled.exit_code, 0) << cancelled.err;
  EXPECT_THAT(cancelled.err, HasSubstr("asked the coordinator to cancel 2 jobs"));
  const CommandResult ended = run->wait();
  EXPECT_EQ(ended.exit_code, 1) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("cancelled"));

  EXPECT_THAT(cancel({"--all"}).err, HasSubstr("nothing runs here"));
  const CommandResult again =
      study_.start(study_.run_words({"--ranks", "2", "--slots", "2"}))->wait();
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(study_.outcomes().count("done"), 6U);
}

TEST_F(CancelTest, WhatIsMeantMustBeSaidAndMustBeThere) {
  ASSERT_EQ(study_.start(study_.run_words({"--ranks", "1"}))->wait().exit_code, 0);
  EXPECT_EQ(cancel({}).exit_code, 2);
  EXPECT_EQ(cancel({"--all", "abc"}).exit_code, 2);
  const CommandResult unknown = cancel({"train winclip*"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("no job that waits or runs is called 'train winclip*'"));
}

}  // namespace
}  // namespace assay
