#include "runner/scheduler.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <stdexcept>
#include <utility>

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ScheduledJob job(std::string id,
                 std::vector<std::string> needs = {},
                 std::vector<std::string> inputs = {}) {
  return {.id = std::move(id), .needs = std::move(needs), .inputs = std::move(inputs)};
}

std::vector<Slot> slots(int count) { return std::vector<Slot>(static_cast<std::size_t>(count)); }

/// A scheduler whose gang 0 is ready.
Scheduler started(std::vector<ScheduledJob> jobs, const SchedulerOptions& options = {}) {
  Scheduler scheduler(std::move(jobs), options);
  EXPECT_THAT(scheduler.decide(0), ElementsAre(Decision{Action::kStartGang, 0, {}, slots(1)}));
  scheduler.gang_ready(0);
  return scheduler;
}

TEST(Scheduler, StartsNothingForAnEmptyPlan) {
  Scheduler scheduler({}, {});
  EXPECT_THAT(scheduler.decide(0), IsEmpty());
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, SendsAJobOnlyWhenWhatItNeedsIsDone) {
  Scheduler scheduler = started({job("evaluate", {"train"}), job("train", {"done-before"})});
  EXPECT_THAT(scheduler.decide(0), ElementsAre(Decision{Action::kSendJob, 0, "train"}));
  EXPECT_THAT(scheduler.decide(1), IsEmpty());
  scheduler.job_done(0);
  EXPECT_THAT(scheduler.decide(2), ElementsAre(Decision{Action::kSendJob, 0, "evaluate"}));
  scheduler.job_done(0);
  EXPECT_THAT(scheduler.decide(3), ElementsAre(Decision{Action::kEndGang, 0}));
  EXPECT_FALSE(scheduler.finished());
  scheduler.gang_ended(0, EndCause::kDied, "told to", 4);
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, PrefersJobsWhoseInputsTheGangHolds) {
  Scheduler scheduler = started({job("a", {}, {"tiny", "mvtec"}), job("b", {}, {"large", "visa"}),
                                 job("c", {}, {"tiny", "visa"}), job("d", {}, {"tiny", "mvtec"})});
  std::string order;
  for (int i = 0; i < 4; ++i) {
    order += scheduler.decide(0).at(0).job;
    scheduler.job_done(0);
  }
  EXPECT_EQ(order, "adcb");
}

TEST(Scheduler, AFailedJobFailsItsDependentsByNameAndNoOther) {
  Scheduler scheduler =
      started({job("bad"), job("child", {"bad"}), job("grandchild", {"child"}), job("other")});
  static_cast<void>(scheduler.decide(0));
  scheduler.job_failed(0, "NaN in step 3");
  EXPECT_THAT(scheduler.take_ended(), ElementsAre("bad", "child", "grandchild"));
  EXPECT_EQ(scheduler.error("bad"), "NaN in step 3");
  EXPECT_EQ(scheduler.error("child"), "needs job bad, which failed");
  EXPECT_THAT(scheduler.decide(1), ElementsAre(Decision{Action::kSendJob, 0, "other"}));
}

TEST(Scheduler, RetriesAJobWhoseGangDiedAfterAGrowingDelayAndThenGivesUp) {
  Scheduler scheduler = started({job("x")}, {.retries = 2, .first_delay_seconds = 10});
  double now = 0;
  for (const double delay : {10.0, 20.0}) {
    EXPECT_THAT(scheduler.decide(now), ElementsAre(Decision{Action::kSendJob, 0, "x"}));
    scheduler.gang_ended(0, EndCause::kDied, "killed by signal 9", now);
    EXPECT_THAT(scheduler.decide(now + delay - 1), IsEmpty());
    EXPECT_EQ(scheduler.next_time(), now + delay);
    now += delay;
    EXPECT_THAT(scheduler.decide(now), ElementsAre(Decision{Action::kStartGang, 0, {}, slots(1)}));
    scheduler.gang_ready(0);
  }
  static_cast<void>(scheduler.decide(now));
  scheduler.gang_ended(0, EndCause::kDied, "killed by signal 9", now);
  EXPECT_EQ(scheduler.state("x"), JobState::kFailed);
  EXPECT_EQ(scheduler.error("x"), "its gang died 3 times, last: killed by signal 9");
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, WithoutAnyGangThatStartsAllWaitingJobsFail) {
  Scheduler scheduler({job("x"), job("y", {"x"})}, {.start_attempts = 2});
  static_cast<void>(scheduler.decide(0));
  scheduler.gang_ended(0, EndCause::kDied, "mpirun: not found", 0);
  EXPECT_EQ(scheduler.state("x"), JobState::kWaiting);
  EXPECT_THAT(scheduler.decide(1), ElementsAre(Decision{Action::kStartGang, 0, {}, slots(1)}));
  scheduler.gang_ended(0, EndCause::kDied, "mpirun: not found", 1);
  EXPECT_EQ(scheduler.error("x"), "no gang could start: mpirun: not found");
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, StartsNoMoreGangsThanThereAreJobsToRun) {
  Scheduler scheduler({job("encode"), job("train", {"encode"})}, {.slots = slots(4)});
  EXPECT_THAT(scheduler.decide(0), ElementsAre(Decision{Action::kStartGang, 0, {}, slots(1)}));
  EXPECT_THAT(scheduler.decide(0), IsEmpty());
}

TEST(Scheduler, AfterStopItSendsNothingAndEndsItsGangs) {
  Scheduler scheduler = started({job("x"), job("y")});
  static_cast<void>(scheduler.decide(0));
  scheduler.stop();
  EXPECT_THAT(scheduler.decide(1), IsEmpty());
  scheduler.job_interrupted(0);
  EXPECT_EQ(scheduler.state("x"), JobState::kWaiting);
  EXPECT_THAT(scheduler.decide(2), ElementsAre(Decision{Action::kEndGang, 0}));
  scheduler.gang_ended(0, EndCause::kDied, "told to", 3);
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, GivesEveryGangSlotsOfItsOwnAndTakesThemBackAtItsEnd) {
  const std::vector<Slot> cores = {{.core = 4}, {.core = 5}, {.core = 6}};
  Scheduler scheduler({job("x"), job("y"), job("z")}, {.slots = cores, .ranks = 2});
  EXPECT_THAT(scheduler.decide(0),
              ElementsAre(Decision{Action::kStartGang, 0, {}, {cores[0], cores[1]}}))
      << "one core is left, which is no gang";
  scheduler.gang_ended(0, EndCause::kDied, "killed", 0);
  EXPECT_THAT(scheduler.decide(5),
              ElementsAre(Decision{Action::kStartGang, 0, {}, {cores[0], cores[1]}}));
}

TEST(Scheduler, TheLongestExpectedJobComesFirstWithWhatNeedsIt) {
  std::vector<ScheduledJob> jobs = {job("unknown"), job("short"), job("long"), job("opens"),
                                    job("longest", {"opens"})};
  jobs[1].expected_seconds = 10;
  jobs[2].expected_seconds = 60;
  jobs[3].expected_seconds = 1;
  jobs[4].expected_seconds = 90;
  Scheduler scheduler = started(jobs);
  std::vector<std::string> order;
  for (int i = 0; i < 5; ++i) {
    order.push_back(scheduler.decide(0).at(0).job);
    scheduler.job_done(0);
  }
  EXPECT_THAT(order, ElementsAre("opens", "longest", "long", "short", "unknown"));
}

TEST(Scheduler, JobsOfOneGangSizeDoNotStarveAnother) {
  std::vector<ScheduledJob> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back(job("small" + std::to_string(i)));
  jobs.push_back(job("large"));
  jobs.back().ranks = 2;
  Scheduler scheduler(jobs, {.slots = slots(2), .patience_seconds = 30});
  std::map<int, std::string> running;
  for (double now = 0; now < 60; now += 10) {  // Every small job takes ten seconds.
    for (const auto& [gang, id] : std::exchange(running, {})) scheduler.job_done(gang);
    for (auto decisions = scheduler.decide(now); !decisions.empty();
         decisions = scheduler.decide(now)) {
      for (const Decision& decision : decisions) {
        if (decision.action == Action::kStartGang) scheduler.gang_ready(decision.gang);
        if (decision.action == Action::kEndGang) {
          scheduler.gang_ended(decision.gang, EndCause::kDied, "told to", now);
        }
        if (decision.action == Action::kSendJob) running[decision.gang] = decision.job;
        if (decision.job == "large") {
          EXPECT_EQ(now, 30);
          return;
        }
      }
    }
  }
  FAIL() << "the large job never ran";
}

TEST(Scheduler, OutOfMemoryIsTriedOnceMoreAndPreemptionWithoutLimit) {
  Scheduler scheduler = started({job("x")}, {.retries = 0, .max_delay_seconds = 1});
  double now = 0;
  for (int i = 0; i < 20; ++i, now += 2) {
    ASSERT_THAT(scheduler.decide(now), ElementsAre(Decision{Action::kSendJob, 0, "x"}));
    scheduler.gang_ended(0, EndCause::kPreempted, "killed by signal 15", now);
    static_cast<void>(scheduler.decide(now + 1));
    scheduler.gang_ready(0);
  }
  static_cast<void>(scheduler.decide(now));
  scheduler.job_stumbled(0, EndCause::kOutOfMemory, "out of memory", now);
  EXPECT_EQ(scheduler.state("x"), JobState::kWaiting);
  EXPECT_THAT(scheduler.decide(now + 1), ElementsAre(Decision{Action::kSendJob, 0, "x"}));
  scheduler.job_stumbled(0, EndCause::kOutOfMemory, "out of memory", now);
  EXPECT_EQ(scheduler.error("x"),
            "ran out of memory 2 times, last: out of memory; give it more memory, or run fewer "
            "gangs beside it (--slots)");
}

TEST(Scheduler, ACancelledJobTakesWhatNeedsItAlongAndIsNotTriedAgain) {
  Scheduler scheduler = started({job("x"), job("y"), job("z", {"y"}), job("w")});
  static_cast<void>(scheduler.decide(0));
  scheduler.cancel("y");
  EXPECT_THAT(scheduler.take_ended(), ElementsAre("y", "z"));
  EXPECT_EQ(scheduler.error("z"), "needs job y, which was cancelled");
  scheduler.cancel("x");
  EXPECT_EQ(scheduler.state("x"), JobState::kRunning);
  EXPECT_THAT(scheduler.decide(1), ElementsAre(Decision{Action::kCancelJob, 0, "x"}));
  scheduler.gang_ended(0, EndCause::kDied, "killed", 2);
  EXPECT_EQ(scheduler.state("x"), JobState::kCancelled);
  EXPECT_EQ(scheduler.state("w"), JobState::kWaiting);
}

TEST(Scheduler, AJobThatWantsMoreRanksThanThereAreSlotsFailsByName) {
  std::vector<ScheduledJob> jobs = {job("wide"), job("x")};
  jobs[0].ranks = 8;
  Scheduler scheduler = started(jobs);
  EXPECT_EQ(scheduler.error("wide"), "needs 8 ranks, there are 1 slots; see --slots and --ranks");
  EXPECT_THAT(scheduler.decide(0), ElementsAre(Decision{Action::kSendJob, 0, "x"}));
}

TEST(Scheduler, RefusesJobsInACircleAndJobsThatAreThereTwice) {
  EXPECT_THROW(Scheduler({job("a", {"b"}), job("b", {"a"})}, {}), std::invalid_argument);
  EXPECT_THROW(Scheduler({job("a"), job("a")}, {}), std::invalid_argument);
}

bool always(const std::string& /*job*/) { return true; }

TEST(Scheduler, SendsBriefJobsAheadOfTheirTurnAndLeavesTheLastOnesToWhoeverIsFree) {
  Scheduler scheduler = started({job("a"), job("b"), job("c"), job("d")});
  EXPECT_THAT(scheduler.decide(0, always),
              ElementsAre(Decision{Action::kSendJob, 0, "a"}, Decision{Action::kSendJob, 0, "b"}));
  EXPECT_EQ(scheduler.running(0), "a");
  EXPECT_THAT(scheduler.decide(1, always), IsEmpty());
  scheduler.job_done(0);
  EXPECT_EQ(scheduler.running(0), "b");
  EXPECT_THAT(scheduler.decide(2, always), ElementsAre(Decision{Action::kSendJob, 0, "c"}));
  scheduler.job_failed(0, "NaN");
  EXPECT_EQ(scheduler.state("b"), JobState::kFailed);
  EXPECT_THAT(scheduler.decide(3, always), IsEmpty()) << "d is the last one";
  scheduler.job_done(0);
  EXPECT_THAT(scheduler.decide(4, always), ElementsAre(Decision{Action::kSendJob, 0, "d"}));
}

TEST(Scheduler, NeitherWaitsALongJobBehindABriefOneNorABriefOneBehindALongOne) {
  for (const char* brief : {"a", "b"}) {
    Scheduler scheduler = started({job("a"), job("b"), job("c"), job("d")});
    EXPECT_THAT(scheduler.decide(0, [&](const std::string& id) { return id == brief; }),
                ElementsAre(Decision{Action::kSendJob, 0, "a"}));
  }
}

TEST(Scheduler, AJobSentAheadToAGangThatDiedWasNotTried) {
  Scheduler scheduler = started({job("a"), job("b"), job("c"), job("d")}, {.retries = 0});
  static_cast<void>(scheduler.decide(0, always));
  scheduler.gang_ended(0, EndCause::kDied, "killed by signal 9", 1);
  EXPECT_EQ(scheduler.state("a"), JobState::kFailed);
  EXPECT_EQ(scheduler.state("b"), JobState::kWaiting);
  static_cast<void>(scheduler.decide(2, always));
  scheduler.gang_ready(0);
  EXPECT_THAT(scheduler.decide(3, always),
              ElementsAre(Decision{Action::kSendJob, 0, "b"}, Decision{Action::kSendJob, 0, "c"}));
  scheduler.gang_ended(0, EndCause::kUnreachable, "host x does not answer", 4);
  EXPECT_EQ(scheduler.error("c"), "host x does not answer") << "it may have begun there";
}

TEST(Scheduler, AJobSentAheadCanBeCancelledAndMayFailToBeSent) {
  Scheduler scheduler = started({job("a"), job("b"), job("c"), job("d"), job("e")});
  static_cast<void>(scheduler.decide(0, always));
  scheduler.cancel("b");
  EXPECT_THAT(scheduler.decide(1), ElementsAre(Decision{Action::kCancelJob, 0, "b"}));
  EXPECT_FALSE(scheduler.cancelling(0)) << "a runs on";
  scheduler.job_done(0);
  EXPECT_TRUE(scheduler.cancelling(0));
  scheduler.job_interrupted(0);
  EXPECT_EQ(scheduler.state("b"), JobState::kCancelled);
  EXPECT_THAT(scheduler.decide(2, always),
              ElementsAre(Decision{Action::kSendJob, 0, "c"}, Decision{Action::kSendJob, 0, "d"}));
  scheduler.job_not_sent(0, "c", "no space left on device");
  EXPECT_EQ(scheduler.error("c"), "no space left on device");
  EXPECT_EQ(scheduler.running(0), "d");
}

TEST(Scheduler, SendsNothingAheadWhereAnotherGangSizeWaitsForRoom) {
  std::vector<ScheduledJob> jobs = {job("a"), job("b"), job("c"), job("d"), job("wide")};
  jobs.back().ranks = 2;
  Scheduler scheduler(jobs, {.slots = slots(2)});
  static_cast<void>(scheduler.decide(0));
  for (const int gang : {0, 1}) scheduler.gang_ready(gang);
  EXPECT_THAT(scheduler.decide(1, always),
              ElementsAre(Decision{Action::kSendJob, 0, "a"}, Decision{Action::kSendJob, 1, "b"}));
}

// Random plans, gangs and faults: every job ends done or failed, no job runs twice at once or
// after it was done, and none before what it needs.
TEST(Scheduler, KeepsItsPromisesUnderRandomFaults) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
    std::vector<ScheduledJob> jobs;
    for (unsigned i = 0; i < 1 + random() % 30; ++i) {
      ScheduledJob next = job(std::to_string(i), {}, {"input" + std::to_string(random() % 3)});
      for (unsigned k = 0; k < i && k < 2; ++k) {
        if (chance(40)) next.needs.push_back(std::to_string(random() % i));
      }
      std::ranges::sort(next.needs);
      next.needs.erase(std::ranges::unique(next.needs).begin(), next.needs.end());
      jobs.push_back(next);
    }
    const int gangs = 1 + static_cast<int>(random() % 3);
    Scheduler scheduler(jobs, {.slots = slots(gangs), .retries = 2});
    const IsBrief is_brief = seed % 2 == 0 ? always : IsBrief();
    std::map<std::string, int> sent;  // To which gang.
    enum class State { kAbsent, kStarting, kLive, kEnding };
    std::vector<State> states(static_cast<std::size_t>(gangs), State::kAbsent);
    double now = 0;
    for (int step = 0; !scheduler.finished(); ++step) {
      ASSERT_LT(step, 5000) << "seed " << seed;
      for (const Decision& decision : scheduler.decide(now, is_brief)) {
        auto& gang = states[static_cast<std::size_t>(decision.gang)];
        if (decision.action == Action::kStartGang) {
          ASSERT_EQ(gang, State::kAbsent);
          gang = State::kStarting;
        } else if (decision.action == Action::kSendJob) {
          ASSERT_EQ(gang, State::kLive);
          for (const std::string& needed : jobs[std::stoul(decision.job)].needs) {
            ASSERT_EQ(scheduler.state(needed), JobState::kDone) << "seed " << seed;
          }
          ASSERT_TRUE(sent.emplace(decision.job, decision.gang).second) << "seed " << seed;
          ASSERT_LE(
              std::ranges::count(sent, decision.gang, &std::pair<const std::string, int>::second),
              2);
        } else {
          gang = State::kEnding;
        }
      }
      const int g = static_cast<int>(random() % static_cast<unsigned>(gangs));
      auto& state = states[static_cast<std::size_t>(g)];
      if (state != State::kAbsent && (state == State::kEnding || chance(10))) {
        state = State::kAbsent;
        std::erase_if(sent, [&](const auto& entry) { return entry.second == g; });
        scheduler.gang_ended(g, EndCause::kDied, "fault", now);
      } else if (state == State::kStarting) {
        state = State::kLive;
        scheduler.gang_ready(g);
      } else if (state == State::kLive && scheduler.running(g)) {
        sent.erase(*scheduler.running(g));
        chance(15) ? scheduler.job_failed(g, "own fault") : scheduler.job_done(g);
      }
      now += 0.5;
    }
    EXPECT_EQ(scheduler.count(JobState::kDone) + scheduler.count(JobState::kFailed), jobs.size());
  }
}

TEST(Scheduler, WhatMayStillRunSomewhereIsNotTriedAgainAndItsSlotsAreGivenToNobody) {
  Scheduler scheduler = started({job("a"), job("b")});
  EXPECT_THAT(scheduler.decide(0), ElementsAre(Decision{Action::kSendJob, 0, "a"}));
  scheduler.gang_ended(0, EndCause::kUnreachable, "process 7 of host x may still live", 1);
  EXPECT_EQ(scheduler.state("a"), JobState::kFailed);
  EXPECT_EQ(scheduler.error("a"), "process 7 of host x may still live");
  EXPECT_EQ(scheduler.error("b"), "needs 1 ranks, there are 0 slots; see --slots and --ranks");
  EXPECT_THAT(scheduler.decide(1000), IsEmpty());
  EXPECT_TRUE(scheduler.finished());
}

}  // namespace
}  // namespace assay
