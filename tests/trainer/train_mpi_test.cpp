#include "core/random.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <regex>
#include <thread>

namespace assay {
namespace {

using ::testing::HasSubstr;

const std::string kProgram = std::string(ASSAY_BINARY_DIR) + "/mpi_train_program";

// The digest of all parameters after each step that a program printed.
std::map<int, std::string> digests(const CommandResult& result) {
  static const std::regex line("step ([0-9]+) ([0-9a-f]{64})\n");
  std::map<int, std::string> found;
  for (std::sregex_iterator i(result.out.begin(), result.out.end(), line), end; i != end; ++i) {
    found[std::stoi((*i)[1])] = (*i)[2];
  }
  return found;
}

CommandResult train_under_mpirun(int ranks, const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  std::vector<std::string> command = {"mpirun", "-np", std::to_string(ranks), kProgram};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunningCommand(command, folder.path(), mpirun_environment()).wait();
}

CommandResult train_alone(std::vector<std::string> arguments,
                          const std::function<bool(const std::string&)>& kill_when = {}) {
  const TemporaryFolder folder;
  arguments.insert(arguments.begin(), {kProgram, "--alone", "yes"});
  RunningCommand command(arguments, folder.path());
  if (kill_when) {
    EXPECT_TRUE(eventually([&] { return command.has_ended() || kill_when(command.output()); }));
    command.send(SIGKILL);
  }
  return command.wait();
}

class TrainOverMpiOf : public ::testing::TestWithParam<const char*> {};

// 7 shards of two images, which 2, 3 and 4 ranks do not divide, and a last batch of one image.
TEST_P(TrainOverMpiOf, GivesTheSameBitsAfterEveryStepOnOneToFourRanks) {
  const auto one = digests(train_under_mpirun(1, {"--method", GetParam()}));
  ASSERT_EQ(one.size(), 24U);
  std::printf("%s, parameters after 24 steps\n  on 1 rank  %s\n", GetParam(), one.at(24).c_str());
  for (int ranks = 2; ranks <= 4; ++ranks) {
    const CommandResult result = train_under_mpirun(ranks, {"--method", GetParam()});
    EXPECT_EQ(result.exit_code, 0) << result.out;
    EXPECT_EQ(digests(result), one) << ranks << " ranks";
    std::printf("  on %d ranks %s\n", ranks, digests(result)[24].c_str());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Methods,
    TrainOverMpiOf,
    ::testing::Values("analytic", "anomalyclip:released", "faprompt:released", "faprompt:paper"));

TEST(TrainOverMpi, FailsOnEveryRankAlikeAndTheRanksDoTheNextJob) {
  const CommandResult result = train_under_mpirun(3, {"--nan-image", "17"});
  EXPECT_EQ(result.exit_code, 0) << result.out;  // No rank was lost.
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_THAT(result.out, HasSubstr("rank " + std::to_string(rank) + " failed: step "));
  }
  EXPECT_THAT(result.out, HasSubstr("drawing_017.png"));
  EXPECT_EQ(digests(result), digests(train_alone({})));
}

TEST(TrainOverMpi, GoesOnWithTheSameBitsAfterARankWasKilledInsideAStep) {
  const auto whole = digests(train_alone({"--method", "faprompt:paper"}));
  const TemporaryFolder folder;
  const std::vector<std::string> arguments = {"--method",       "faprompt:paper",         "--state",
                                              folder / "state", "--steps-per-checkpoint", "4"};
  std::vector<std::string> dying = arguments;
  dying.insert(dying.end(), {"--dying-rank", "1", "--dying-step", "11"});
  const CommandResult killed = train_under_mpirun(2, dying);
  EXPECT_NE(killed.exit_code, 0);
  const auto before = digests(killed);
  EXPECT_EQ(before.size(), 10U) << killed.out;
  const auto after = digests(train_under_mpirun(3, arguments));
  EXPECT_EQ(after.begin()->first, 10);  // The end of epoch 3, step 9, was saved.
  EXPECT_EQ(after.size(), 15U);
  for (const auto& part : {before, after}) {
    for (const auto& [step, digest] : part) EXPECT_EQ(digest, whole.at(step)) << "step " << step;
  }
}

TEST(TrainOverMpi, GoesOnWithTheSameBitsAfterADeathInsideACheckpointWrite) {
  const auto whole = digests(train_alone({}));
  const TemporaryFolder folder;
  const std::vector<std::string> arguments = {"--state", folder / "state", "--steps-per-checkpoint",
                                              "1"};
  std::vector<std::string> dying = arguments;
  dying.insert(dying.end(), {"--cut-save", "13"});
  EXPECT_EQ(train_alone(dying).exit_code, 128 + SIGXFSZ);
  std::vector<std::filesystem::path> files{std::filesystem::directory_iterator(folder.path()), {}};
  EXPECT_EQ(files.size(), 2U);  // The last state, and half of the next under another name.
  const auto after = digests(train_alone(arguments));
  EXPECT_EQ(after.begin()->first, 13);
  EXPECT_EQ(after.rbegin()->second, whole.at(24));
  files.assign(std::filesystem::directory_iterator(folder.path()), {});
  EXPECT_EQ(files, std::vector<std::filesystem::path>{folder / "state"});
}

// Every state that a kill leaves is whole: training goes on from it, never from the beginning.
TEST(TrainOverMpi, KilledAtRandomTimesEndsWithTheSameBits) {
  const auto whole = digests(train_alone({}));
  const char* wanted = std::getenv("ASSAY_TEST_KILLS");
  const int kills = wanted == nullptr ? 8 : std::atoi(wanted);
  const RandomStream random(7, "kills");
  const TemporaryFolder folder;
  const std::vector<std::string> arguments = {"--state", folder / "state", "--steps-per-checkpoint",
                                              "1"};
  int last_step = 0;
  for (int kill = 0; kill < kills; ++kill) {
    if (last_step >= 20) {  // From the beginning again, there is little left to kill.
      std::filesystem::remove_all(folder / "state");
      last_step = 0;
    }
    const auto lines = static_cast<std::ptrdiff_t>(1 + random.below(2 * kill, 4));
    const std::chrono::duration<double> later(random.uniform(2 * kill + 1) * 0.01);
    const CommandResult killed = train_alone(arguments, [&](const std::string& output) {
      if (std::ranges::count(output, '\n') < lines) return false;
      std::this_thread::sleep_for(later);
      return true;
    });
    EXPECT_THAT(killed.out, ::testing::Not(HasSubstr("from the beginning")));
    const auto seen = digests(killed);
    ASSERT_FALSE(seen.empty()) << killed.out;
    EXPECT_GE(seen.begin()->first, last_step);  // At most the step in hand is lost.
    last_step = seen.rbegin()->first;
    for (const auto& [step, digest] : seen) EXPECT_EQ(digest, whole.at(step)) << "step " << step;
  }
  const auto end = digests(train_alone(arguments));
  if (!end.empty()) {
    EXPECT_EQ(end.rbegin()->first, 24);
    EXPECT_EQ(end.rbegin()->second, whole.at(24));
  }
}

}  // namespace
}  // namespace assay
