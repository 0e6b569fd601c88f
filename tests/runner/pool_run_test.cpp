// `mpirun -np N assay run`: ranks that are there already.

#include "core/file.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::HasSubstr;

class PoolRunTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<RunningCommand> mpirun(int processes,
                                                       const std::vector<std::string>& more) const {
    std::vector<std::string> words = {ASSAY_MPIRUN, "-np", std::to_string(processes)};
    for (const std::string& word : study_.run_words(more)) words.push_back(word);
    return study_.start(words, mpirun_environment());
  }

  TinyStudy study_;
};

TEST_F(PoolRunTest, TwoGangsOfAnOuterMpirunGiveTheNumbersOfOneRank) {
  const CommandResult result = mpirun(4, {"--ranks", "2"})->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("anomalyclip")) << "the table, once";
  ASSERT_EQ(study_.start(study_.run_words({"--ranks", "1"}, "alone"))->wait().exit_code, 0);
  EXPECT_EQ(study_.numbers(), study_.numbers("alone"));

  const CommandResult again = mpirun(4, {"--ranks", "2"})->wait();
  EXPECT_EQ(again.exit_code, 0) << "ranks without work are let go: " << again.err;
  EXPECT_THAT(again.err, HasSubstr("(6 before)"));
}

TEST_F(PoolRunTest, ADeadRankEndsItsWorldAndTheSameCommandGoesOn) {
  const auto run = mpirun(4, {"--ranks", "2"});
  const auto ranks = study_.training_ranks();
  ASSERT_EQ(ranks.size(), 2U) << study_.errors();
  kill_process(ranks[1]);
  EXPECT_NE(run->wait().exit_code, 0);
  for (const ProcessIdentity& rank : ranks) {
    EXPECT_TRUE(eventually([&] { return is_alive(rank) == false; })) << rank.pid;
  }
  const CommandResult again = mpirun(4, {"--ranks", "2"})->wait();
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(study_.outcomes().count("done"), 6U) << "nothing ran twice";
}

TEST_F(PoolRunTest, ProfilesAreLeftForARunOfTheirOwn) {
  write_file_atomically(study_ / "study.toml",
                        "schema = 1\nname = 'tiny'\nbackbone = 'assay-tiny'\nimage_size = 64\n"
                        "targets = ['synth-b']\n[[sweep]]\nmethod = 'clip'\n"
                        "[[profile]]\nmethods = ['clip']\nform = ['cached']\nphase = ['infer']\n"
                        "steps = 1\n");
  const CommandResult result = mpirun(2, {"--ranks", "1"})->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("2 of 2 jobs done"));
  EXPECT_THAT(result.err, HasSubstr("profile jobs want the machine to themselves: 1 left"));
  const CommandResult alone = study_.start(study_.run_words({"--ranks", "1"}))->wait();
  EXPECT_THAT(alone.err, HasSubstr("3 of 3 jobs done (2 before)"));
}

TEST_F(PoolRunTest, RanksThatMakeNoWholeGangsAndStudiesThatAreWrongEndAllProcesses) {
  const CommandResult odd = mpirun(3, {"--ranks", "2"})->wait();
  EXPECT_EQ(odd.exit_code, 2) << odd.err;
  EXPECT_THAT(odd.err, HasSubstr("the 3 ranks that were started do not make gangs of 2"));

  write_file_atomically(study_ / "study.toml", "schema = 1\nnme = \"k\"\n");
  const CommandResult wrong = mpirun(2, {})->wait();
  EXPECT_EQ(wrong.exit_code, 2) << wrong.err;
  EXPECT_THAT(wrong.err, HasSubstr("did you mean 'name'"));
}

}  // namespace
}  // namespace assay
