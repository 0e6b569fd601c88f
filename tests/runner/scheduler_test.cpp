#include "runner/scheduler.h"

#include <gmock/gmock.h>

#include <random>
#include <stdexcept>

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ScheduledJob job(std::string id,
                 std::vector<std::string> needs = {},
                 std::vector<std::string> inputs = {}) {
  return {std::move(id), std::move(needs), std::move(inputs)};
}

/// A scheduler whose gang 0 is ready.
Scheduler started(std::vector<ScheduledJob> jobs, const SchedulerOptions& options = {}) {
  Scheduler scheduler(std::move(jobs), options);
  EXPECT_THAT(scheduler.decide(0), ElementsAre(Decision{Action::kStartGang, 0, {}}));
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
  EXPECT_THAT(scheduler.decide(3), ElementsAre(Decision{Action::kEndGang, 0, {}}));
  EXPECT_FALSE(scheduler.finished());
  scheduler.gang_ended(0, "told to", 4);
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
  EXPECT_THAT(scheduler.take_failed(), ElementsAre("bad", "child", "grandchild"));
  EXPECT_EQ(scheduler.error("bad"), "NaN in step 3");
  EXPECT_EQ(scheduler.error("child"), "needs job bad, which failed");
  EXPECT_THAT(scheduler.decide(1), ElementsAre(Decision{Action::kSendJob, 0, "other"}));
}

TEST(Scheduler, RetriesAJobWhoseGangDiedAfterAGrowingDelayAndThenGivesUp) {
  Scheduler scheduler = started({job("x")}, {.retries = 2, .first_delay_seconds = 10});
  double now = 0;
  for (const double delay : {10.0, 20.0}) {
    EXPECT_THAT(scheduler.decide(now), ElementsAre(Decision{Action::kSendJob, 0, "x"}));
    scheduler.gang_ended(0, "killed by signal 9", now);
    EXPECT_THAT(scheduler.decide(now + delay - 1), IsEmpty());
    EXPECT_EQ(scheduler.next_time(), now + delay);
    now += delay;
    EXPECT_THAT(scheduler.decide(now), ElementsAre(Decision{Action::kStartGang, 0, {}}));
    scheduler.gang_ready(0);
  }
  static_cast<void>(scheduler.decide(now));
  scheduler.gang_ended(0, "killed by signal 9", now);
  EXPECT_EQ(scheduler.state("x"), JobState::kFailed);
  EXPECT_EQ(scheduler.error("x"), "its gang died 3 times, last: killed by signal 9");
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, WithoutAnyGangThatStartsAllWaitingJobsFail) {
  Scheduler scheduler({job("x"), job("y", {"x"})}, {.start_attempts = 2});
  static_cast<void>(scheduler.decide(0));
  scheduler.gang_ended(0, "mpirun: not found", 0);
  EXPECT_EQ(scheduler.state("x"), JobState::kWaiting);
  EXPECT_THAT(scheduler.decide(1), ElementsAre(Decision{Action::kStartGang, 0, {}}));
  scheduler.gang_ended(0, "mpirun: not found", 1);
  EXPECT_EQ(scheduler.error("x"), "no gang could start: mpirun: not found");
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, StartsNoMoreGangsThanThereAreJobsToRun) {
  Scheduler scheduler({job("encode"), job("train", {"encode"})}, {.gangs = 4});
  EXPECT_THAT(scheduler.decide(0), ElementsAre(Decision{Action::kStartGang, 0, {}}));
  EXPECT_THAT(scheduler.decide(0), IsEmpty());
}

TEST(Scheduler, AfterStopItSendsNothingAndEndsItsGangs) {
  Scheduler scheduler = started({job("x"), job("y")});
  static_cast<void>(scheduler.decide(0));
  scheduler.stop();
  EXPECT_THAT(scheduler.decide(1), IsEmpty());
  scheduler.job_interrupted(0);
  EXPECT_EQ(scheduler.state("x"), JobState::kWaiting);
  EXPECT_THAT(scheduler.decide(2), ElementsAre(Decision{Action::kEndGang, 0, {}}));
  scheduler.gang_ended(0, "told to", 3);
  EXPECT_TRUE(scheduler.finished());
}

TEST(Scheduler, RefusesJobsInACircleAndJobsThatAreThereTwice) {
  EXPECT_THROW(Scheduler({job("a", {"b"}), job("b", {"a"})}, {}), std::invalid_argument);
  EXPECT_THROW(Scheduler({job("a"), job("a")}, {}), std::invalid_argument);
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
    Scheduler scheduler(jobs, {.gangs = gangs, .retries = 2});
    enum class State { kAbsent, kStarting, kLive, kEnding };
    std::vector<State> states(static_cast<std::size_t>(gangs), State::kAbsent);
    double now = 0;
    for (int step = 0; !scheduler.finished(); ++step) {
      ASSERT_LT(step, 5000) << "seed " << seed;
      for (const Decision& decision : scheduler.decide(now)) {
        auto& gang = states[static_cast<std::size_t>(decision.gang)];
        if (decision.action == Action::kStartGang) {
          ASSERT_EQ(gang, State::kAbsent);
          gang = State::kStarting;
        } else if (decision.action == Action::kSendJob) {
          ASSERT_EQ(gang, State::kLive);
          for (const std::string& needed : jobs[std::stoul(decision.job)].needs) {
            ASSERT_EQ(scheduler.state(needed), JobState::kDone) << "seed " << seed;
          }
          for (int g = 0; g < gangs; ++g) {
            ASSERT_EQ(scheduler.running(g) == decision.job, g == decision.gang) << "seed " << seed;
          }
        } else {
          gang = State::kEnding;
        }
      }
      const int g = static_cast<int>(random() % static_cast<unsigned>(gangs));
      auto& state = states[static_cast<std::size_t>(g)];
      if (state != State::kAbsent && (state == State::kEnding || chance(10))) {
        state = State::kAbsent;
        scheduler.gang_ended(g, "fault", now);
      } else if (state == State::kStarting) {
        state = State::kLive;
        scheduler.gang_ready(g);
      } else if (state == State::kLive && scheduler.running(g)) {
        chance(15) ? scheduler.job_failed(g, "own fault") : scheduler.job_done(g);
      }
      now += 0.5;
    }
    EXPECT_EQ(scheduler.count(JobState::kDone) + scheduler.count(JobState::kFailed), jobs.size());
  }
}

}  // namespace
}  // namespace assay
