#include "runner/gang.h"

#include "core/digest.h"
#include "core/error.h"
#include "runner/beat.h"
#include "runner/hang_watch.h"
#include "runner/process.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <poll.h>

#include <csignal>

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Values;

/// Waits for `count` messages; fewer where the gang has closed its end.
std::vector<nlohmann::json> next_messages(Gang& gang, std::size_t count) {
  std::vector<nlohmann::json> next;
  while (next.size() < count) {
    pollfd ready{gang.descriptor(), POLLIN, 0};
    if (::poll(&ready, 1, 60000) <= 0) return {"nothing in 60 s"};
    const auto messages = gang.receive();
    if (!messages) break;
    std::ranges::copy_if(*messages, std::back_inserter(next),
                         [](const auto& message) { return message["event"] != "progress"; });
  }
  return next;
}

/// The next one; null where the gang has closed its end.
nlohmann::json next_message(Gang& gang) {
  const auto messages = next_messages(gang, 1);
  return messages.empty() ? nlohmann::json() : messages.front();
}

class GangTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Gang> start(int asked = 0, const std::vector<int>& cores = {}) {
    const std::filesystem::path folder = folder_ / "gang";
    const int ranks = asked > 0 ? asked : GetParam();
    std::vector<std::string> arguments = {"--folder", folder.string(), "--ranks",
                                          std::to_string(ranks)};
    for (const int core : cores) {
      arguments.insert(arguments.end(), {"--cores", std::to_string(core)});
    }
    return std::make_unique<Gang>(
        GangOptions{.slots = std::vector<Slot>(static_cast<std::size_t>(GetParam()), slot_),
                    .worker = std::filesystem::path(ASSAY_BINARY_DIR) / "gang_test_worker",
                    .arguments = arguments,
                    .folder = folder});
  }

  void send(Gang& gang, const std::string& act) {
    const std::string text = nlohmann::json{{"spec", {{"act", act}}}}.dump();
    const std::filesystem::path file = folder_ / act / "run.json";
    write_file_atomically(file, text);
    gang.send({{"do", "run"},
               {"job", act},
               {"attempt", 1},
               {"file", file.string()},
               {"sha256", sha256(text)},
               {"folder", (folder_ / act).string()}});
  }

  [[nodiscard]] std::string log(const std::string& act, int rank) const {
    return read_file(folder_ / act / fmt::format("rank{}.log", rank));
  }

  TemporaryFolder folder_;
  Slot slot_;
};

INSTANTIATE_TEST_SUITE_P(Ranks, GangTest, Values(1, 3));

TEST_P(GangTest, RunsJobAfterJobAndEndsWhenTold) {
  const auto gang = start();
  EXPECT_EQ(next_message(*gang)["ranks"], GetParam());
  for (const char* act : {"print", "read", "fail", "print", "nothing"}) {
    send(*gang, act);
    EXPECT_EQ(next_message(*gang)["event"], act == std::string("fail") ? "failed" : "done");
  }
  gang->send({{"do", "end"}});
  gang->close_input();
  EXPECT_EQ(next_message(*gang), nullptr);
  EXPECT_EQ(gang->end(5).text, "ended with exit code 0");
  EXPECT_THAT(log("print", 0), HasSubstr("a library prints to standard output"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "nothing/rank0.log"));
}

TEST_P(GangTest, AJobThatFailsOnOneRankFailsOnAllWithItsMessage) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  send(*gang, "fail");
  const auto message = next_message(*gang);
  EXPECT_EQ(message["error"], "a.png: truncated");
  gang->send({{"do", "end"}});
  static_cast<void>(gang->end(5));
  for (int rank = 0; rank < GetParam(); ++rank) {
    EXPECT_THAT(log("fail", rank), HasSubstr("a.png: truncated"));
  }
}

TEST_P(GangTest, TheDeathOfOneRankEndsAllAndIsNamed) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  const auto ranks = recorded_ranks(folder_ / "gang");
  EXPECT_EQ(ranks.size(), static_cast<std::size_t>(GetParam()));
  send(*gang, "kill");
  EXPECT_EQ(next_message(*gang), nullptr);
  EXPECT_THAT(gang->end(5).text, HasSubstr("signal 9"));
  for (const ProcessIdentity& rank : ranks) EXPECT_EQ(is_alive(rank), false);
}

TEST_P(GangTest, WhatOneRankThrowsAloneEndsTheGang) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  send(*gang, "throw");
  EXPECT_EQ(next_message(*gang), nullptr);
  EXPECT_THAT(gang->end(5).text, HasSubstr("exit code 1"));
  const int guilty = GetParam() - 1;  // Whose log its coordinator would keep.
  EXPECT_THAT(read_file(folder_ / fmt::format("gang/rank{}.attempt.log", guilty)),
              HasSubstr("one rank alone"));
}

TEST_P(GangTest, StopReachesARunningJob) {
  for (const char* act : {"wait", "wait alone"}) {
    const auto gang = start();
    static_cast<void>(next_message(*gang));
    send(*gang, act);
    const auto runs = [&] { return std::filesystem::exists(folder_ / act / "rank0.log"); };
    EXPECT_TRUE(eventually(runs)) << act;
    gang->send({{"do", "stop"}});
    EXPECT_EQ(next_message(*gang)["event"], "interrupted") << act;
  }
}

TEST_P(GangTest, JobsThatWaitRunInTurnUnlessTheyAreWantedNoMore) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  for (const char* act : {"wait", "print", "nothing"}) send(*gang, act);
  for (const char* act : {"print", "wait"}) gang->send({{"do", "cancel"}, {"job", act}});
  std::vector<std::string> ends;
  for (const nlohmann::json& message : next_messages(*gang, 3)) {
    ends.push_back(message.value("job", "") + " " + message.value("event", ""));
  }
  EXPECT_THAT(ends, ElementsAre("wait interrupted", "print interrupted", "nothing done"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "print/rank0.log"));
}

TEST_P(GangTest, TenThousandMessagesInARowArriveWholeWhileAJobRuns) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  send(*gang, "wait");
  for (int i = 0; i < 10000; ++i) {  // Each with a number and a checksum that the gang compares.
    gang->send({{"do", "cancel"}, {"job", fmt::format("{}-{}", i, std::string(300, 'x'))}});
  }
  gang->send({{"do", "cancel"}, {"job", "wait"}});
  EXPECT_EQ(next_message(*gang)["event"], "interrupted");
  send(*gang, "print");
  EXPECT_EQ(next_message(*gang)["event"], "done");
}

TEST_P(GangTest, EndKillsAGangThatDoesNotListen) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  const auto ranks = recorded_ranks(folder_ / "gang");
  for (const ProcessIdentity& rank : ranks) ::kill(rank.pid, SIGSTOP);
  static_cast<void>(gang->end(0));
  for (const ProcessIdentity& rank : ranks) EXPECT_EQ(is_alive(rank), false);
}

TEST_P(GangTest, AStoppedRankIsNamedFromOutside) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  send(*gang, "hang");
  const std::string guilty =
      fmt::format("rank {} on {} (process ", GetParam() - 1, this_process().host);
  std::string said;
  EXPECT_TRUE(eventually([&] {
    const auto beats = read_beats(folder_ / "gang");
    said = beats.empty() ? "" : describe_hang(beats);
    return said.find(guilty) == 0 && said.find(", stopped): computing, operation 0") != said.npos;
  })) << said;
  if (GetParam() > 1) {
    EXPECT_EQ(read_beats(folder_ / "gang").at(0).operation, "barrier");
    EXPECT_EQ(read_beats(folder_ / "gang").at(0).sequence, 1U);
  }
}

TEST_P(GangTest, ItsRanksStayOnItsCores) {
  const int core = allowed_cores().back();
  const auto gang = start(0, std::vector<int>(static_cast<std::size_t>(GetParam()), core));
  static_cast<void>(next_message(*gang));
  send(*gang, "where");
  EXPECT_EQ(next_message(*gang)["event"], "done");
  gang->send({{"do", "end"}});
  EXPECT_EQ(gang->end(5).exit_code, 0);
  for (int rank = 0; rank < GetParam(); ++rank) {
    EXPECT_THAT(log("where", rank), HasSubstr(fmt::format("1 CPU: {}", core)));
  }
}

TEST_P(GangTest, ACancelledJobStopsAndTheGangLives) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  for (const char* act : {"wait", "wait alone"}) {
    send(*gang, act);
    gang->send({{"do", "cancel"}, {"job", act}});
    EXPECT_EQ(next_message(*gang)["event"], "interrupted");
  }
  send(*gang, "print");
  EXPECT_EQ(next_message(*gang)["event"], "done");
}

TEST_P(GangTest, ASignalOfTheSiteIsAPreemption) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  for (const ProcessIdentity& rank : recorded_ranks(folder_ / "gang")) ::kill(rank.pid, SIGTERM);
  EXPECT_EQ(next_message(*gang), nullptr);
  EXPECT_EQ(gang->end(5).cause, EndCause::kPreempted);
}

TEST_P(GangTest, OutOfMemoryIsNamed) {
  const auto gang = start();
  static_cast<void>(next_message(*gang));
  send(*gang, "memory");
  EXPECT_EQ(next_message(*gang), nullptr);
  const GangEnd end = gang->end(5);
  EXPECT_EQ(end.cause, EndCause::kOutOfMemory);
  EXPECT_THAT(end.text, HasSubstr("out of memory"));
}

TEST_P(GangTest, AWorldOfAnotherSizeIsANamedError) {
  const auto gang = start(GetParam() + 1);
  EXPECT_EQ(next_message(*gang), nullptr);
  static_cast<void>(gang->end(5));
  EXPECT_THAT(read_file(folder_ / "gang/rank0.log"),
              HasSubstr(fmt::format("this gang has {} ranks, {} were asked for", GetParam(),
                                    GetParam() + 1)));
}

TEST(GangStart, AnUnknownProgramIsNamed) {
  const TemporaryFolder folder;
  Gang gang({.worker = folder / "no-such-worker", .folder = folder / "gang"});
  EXPECT_EQ(next_message(gang), nullptr);
  EXPECT_THAT(gang.end(5).text, HasSubstr("no-such-worker: cannot be executed: No such file"));
}

}  // namespace
}  // namespace assay
