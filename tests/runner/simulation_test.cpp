// The coordinator of production, scheduler and all, in a simulated world: clock, pipes, processes,
// disk and store are the test's, and so are the faults. One seed, one course of events.
//
// ASSAY_SIMULATION_SEEDS=1000 tries more seeds, ASSAY_SIMULATION_FIRST=N begins with another one,
// ASSAY_SIMULATION_TRACE=1 prints what the coordinator does.

#include "core/error.h"
#include "runner/coordinator.h"
#include "tests/runner/sabotaged_world.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>

namespace assay {
namespace {

constexpr int kMaxLives = 100;

std::uint64_t number_from(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

/// A study on a machine, from its first start to its last resume.
class Course {
 public:
  Course(std::uint64_t seed, Sabotage sabotage) : machine_(random_study(seed), seed, sabotage) {}

  /// Throws Violation.
  void run() {
    int life = 0;
    while (!one_life(life++)) {
      if (life > kMaxLives) throw Violation(3, "the study is never done");
    }
    machine_.stop_faults();
    while (!one_life(life++)) {
      if (life > 2 * kMaxLives) throw Violation(3, "the study is never done");
    }
    check_end();
    const int changes = resume(life).first;
    const bool all_done = machine_.store.done.size() == machine_.study.jobs.size();
    if (all_done && changes > 0) throw Violation(7, "resuming a finished study changes something");
  }

  [[nodiscard]] const std::map<std::string, int>& faults() const { return machine_.faults_seen; }

 private:
  std::pair<int, RunReport> resume(int life) {
    machine_.troubled.clear();
    SabotagedWorld world(machine_, life);
    std::vector<PlannedJob> jobs;
    for (const SimulatedJob& job : machine_.study.jobs) {
      jobs.push_back({.schedule = job.schedule,
                      .cost_class = "class",
                      .work = static_cast<double>(job.steps)});
    }
    CoordinatorOptions options{
        .scheduler = machine_.study.options,
        .hang_timeout_seconds = 60,
        .brief_seconds = machine_.study.brief_seconds,
    };
    sabotage_plan(machine_.sabotage, jobs, options);
    const auto label = [](const std::string& id) { return id; };
    RunReport report = Coordinator(std::move(jobs), label, options, world).run();
    machine_.save();
    return {world.changes(), std::move(report)};
  }

  /// Whether the run came to its end.
  bool one_life(int life) {
    try {
      const RunReport report = resume(life).second;
      if (!report.interrupted) check_report(report);
      machine_.coordinator_died();
      machine_.check_done_jobs();
      return !report.interrupted;
    } catch (const CoordinatorKilled&) {
    } catch (
        const Error&) {  // A full disk, a process that does not die: the run ends, and says so.
      machine_.save();
    }
    machine_.coordinator_died();
    // Somebody gives the command again, at once or a little later.
    try {
      machine_.pass(static_cast<double>(machine_.pick(20)), [] { return false; });
    } catch (const CoordinatorKilled&) {  // The power fails once more, and nobody was there.
    }
    return false;
  }

  /// I3: every job has ended, and has failed only for a reason.
  void check_report(const RunReport& report) const {
    const std::size_t ended =
        report.done_before + report.done + report.failed.size() + report.cancelled.size();
    if (ended != report.total) throw Violation(3, "a job ends neither done, failed nor cancelled");
    std::set<std::string> bad;
    for (const auto* jobs : {&report.failed, &report.cancelled}) {
      for (const EndedJob& job : *jobs) bad.insert(job.id);
    }
    for (const EndedJob& job : report.failed) {
      const SimulatedJob& planned = machine_.study.job(job.id);
      const bool for_a_reason =
          planned.nature != SimulatedJob::Nature::kGood || machine_.troubled.contains(job.id) ||
          job.error.find("no gang could start") == 0 ||
          job.error.find("slots; see --slots") != std::string::npos ||
          std::ranges::any_of(planned.schedule.needs,
                              [&](const std::string& needed) { return bad.contains(needed); });
      if (!for_a_reason) throw Violation(3, job.id + " fails without a reason: " + job.error);
    }
  }

  /// When no fault came any more: what could be done is done, and nothing else.
  void check_end() const {
    std::set<std::string> impossible;
    for (const SimulatedJob& job : machine_.study.jobs) {
      const std::string& id = job.schedule.id;
      if (job.nature != SimulatedJob::Nature::kGood ||
          std::ranges::any_of(job.schedule.needs,
                              [&](const auto& needed) { return impossible.contains(needed); })) {
        impossible.insert(id);
      }
      const bool done = machine_.store.done.contains(id);
      if (done == impossible.contains(id)) throw Violation(3, id + " does not end as it should");
      if (!done && machine_.whole_result(id)) throw Violation(1, id + " has a result, is not done");
    }
    machine_.check_done_jobs();
  }

  SimulatedMachine machine_;
};

/// The first violation in `count` courses, or nothing.
std::optional<Violation> first_violation(std::uint64_t count, Sabotage sabotage) {
  for (std::uint64_t seed = 0; seed < count; ++seed) {
    try {
      Course(seed, sabotage).run();
    } catch (const Violation& violation) {
      return violation;
    }
  }
  return std::nullopt;
}

TEST(Simulation, TheCoordinatorKeepsItsPromisesUnderAllFaults) {
  const std::uint64_t first = number_from("ASSAY_SIMULATION_FIRST", 0);
  const std::uint64_t count = number_from("ASSAY_SIMULATION_SEEDS", 200);
  const auto start = std::chrono::steady_clock::now();
  std::map<std::string, int> faults;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    Course course(seed, Sabotage::kNone);
    try {
      course.run();
    } catch (const std::exception& error) {
      FAIL() << "seed " << seed << ": " << error.what();
    }
    for (const auto& [name, times] : course.faults()) faults[name] += times;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::string seen;
  for (const auto& [name, times] : faults) seen += fmt::format(", {} {}", name, times);
  fmt::print("{} courses in {:.2f} s{}\n", count, seconds.count(), seen);
  EXPECT_GE(faults.size(), 18U) << "faults of every kind happen";
  for (const auto& [name, times] : faults) {
    EXPECT_GE(times, static_cast<int>(count / 10)) << name << ": too rarely to mean anything";
  }
}

struct DeliberateFault {
  Sabotage sabotage;
  std::set<int> caught_by;  ///< Invariants, any of which may be the first to break.
  std::string name;
};

class DeliberateFaultTest : public ::testing::TestWithParam<DeliberateFault> {};

TEST_P(DeliberateFaultTest, IsCaught) {
  const auto violation = first_violation(400, GetParam().sabotage);
  ASSERT_TRUE(violation.has_value());
  EXPECT_THAT(GetParam().caught_by, ::testing::Contains(violation->invariant)) << violation->what();
}

INSTANTIATE_TEST_SUITE_P(
    Simulation,
    DeliberateFaultTest,
    ::testing::Values(DeliberateFault{Sabotage::kFsyncDropped, {1}, "FsyncDropped"},
                      DeliberateFault{Sabotage::kCoreGivenTwice, {5}, "CoreGivenTwice"},
                      DeliberateFault{Sabotage::kGpuGivenTwice, {5}, "GpuGivenTwice"},
                      DeliberateFault{Sabotage::kNeedsIgnored, {3}, "NeedsIgnored"},
                      DeliberateFault{Sabotage::kFailureTriedAgain, {3}, "FailureTriedAgain"},
                      DeliberateFault{Sabotage::kEndNotRecorded, {2}, "EndNotRecorded"},
                      DeliberateFault{Sabotage::kResultNotVerified, {1}, "ResultNotVerified"},
                      DeliberateFault{Sabotage::kDeadAttemptBelieved, {2}, "DeadAttemptBelieved"},
                      DeliberateFault{Sabotage::kSurvivorsLeft, {2, 5}, "SurvivorsLeft"},
                      DeliberateFault{Sabotage::kStraysLeft, {4}, "StraysLeft"},
                      DeliberateFault{Sabotage::kEndlessRetries, {3}, "EndlessRetries"},
                      DeliberateFault{Sabotage::kHangsIgnored, {3}, "HangsIgnored"},
                      DeliberateFault{Sabotage::kNumbersLost, {6}, "NumbersLost"},
                      DeliberateFault{Sabotage::kDoneForgotten, {7}, "DoneForgotten"},
                      DeliberateFault{Sabotage::kTornStateTaken, {8}, "TornStateTaken"},
                      DeliberateFault{Sabotage::kClockOfTheDay, {3}, "ClockOfTheDay"}),
    [](const auto& fault) { return fault.param.name; });

}  // namespace
}  // namespace assay
