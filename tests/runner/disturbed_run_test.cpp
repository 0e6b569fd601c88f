// Runs that are killed, hung, cancelled, interrupted or watched while they work.

#include "runner/cancel_requests.h"
#include "tests/runner/study_run.h"

#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

class DisturbedRunTest : public StudyRunTest {};

TEST_F(DisturbedRunTest, StatusSaysWhatRunsNow) {
  const auto running = start_run(1);
  const auto ranks = ranks_that_run("train");
  for (const ProcessIdentity& rank : ranks) ::kill(rank.pid, SIGSTOP);  // It runs while we look.
  CommandResult status;
  EXPECT_TRUE(eventually([&] {
    status = assay({"status"}, "look");
    return status.out.find("train anomalyclip") != std::string::npos;
  })) << status.out
      << status.err;
  EXPECT_THAT(status.out, HasSubstr("held by process"));
  for (const ProcessIdentity& rank : ranks) ::kill(rank.pid, SIGCONT);
  EXPECT_EQ(running->wait().exit_code, 0);
}

TEST_F(DisturbedRunTest, StatusAndLogFollowARunToItsEnd) {
  const auto running = start_run(1);
  static_cast<void>(ranks_that_run("train"));
  std::string job;
  for (const JobStatus& status : Store(workspace().store()).jobs()) {
    if (status.kind == "train") job = status.id;
  }
  for (const char* folder : {"log", "watch"}) std::filesystem::create_directories(folder_ / folder);
  RunningCommand log(command({"log", job, "--follow"}), folder_ / "log");
  RunningCommand watch(command({"status", "--watch", "--json", "--interval", "0.1"}),
                       folder_ / "watch");
  EXPECT_EQ(running->wait().exit_code, 0);
  const CommandResult followed = log.wait(), watched = watch.wait();
  EXPECT_EQ(followed.exit_code, 0) << followed.err;
  EXPECT_THAT(followed.out, HasSubstr("loss"));
  EXPECT_THAT(followed.err, HasSubstr("(done): "));
  EXPECT_EQ(watched.exit_code, 0) << watched.err;
  std::vector<nlohmann::json> looks;
  std::istringstream lines(watched.out);
  for (std::string line; std::getline(lines, line);) looks.push_back(nlohmann::json::parse(line));
  ASSERT_GE(looks.size(), 2U);
  EXPECT_EQ(looks.back()["held_by"], "");
  EXPECT_EQ(looks.back()["studies"]["tiny"]["train"]["done"], 1);
  EXPECT_TRUE(looks.front()["now"].is_object());
  // The live line may be a second older than the store.
  EXPECT_EQ(looks.front()["running"][0]["kind"], "train");
}

TEST_F(DisturbedRunTest, FinishesThoughNobodyListens) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  const Descriptor nobody(ends[1]);
  std::string line;
  for (const std::string& word :
       command({"run", study().string(), "--data", small_drawings().string(), "--ranks", "2"})) {
    line += word + " ";
  }
  line += fmt::format("<&- >&{0} 2>&{0}", nobody.get());
  EXPECT_EQ(RunningCommand({"/bin/sh", "-c", line}, folder_ / "out").wait().exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(DisturbedRunTest, AfterAKilledCoordinatorTheSameCommandGoesOn) {
  const auto disturbed = start_run(2);
  const auto ranks = ranks_that_run("train");
  disturbed->send(SIGKILL);
  EXPECT_EQ(disturbed->wait().exit_code, 128 + SIGKILL);
  for (const ProcessIdentity& rank : ranks) {
    EXPECT_TRUE(eventually([&] { return is_alive(rank) == false; })) << "a rank lives on";
  }
  const std::string train = Store(workspace().store()).open_attempts().at(0).job;
  EXPECT_THAT(assay({"status", "--jobs"}).out,
              AllOf(HasSubstr("idle"), HasSubstr("0 of 1 done, 0 running, 0 failed, 1 interrupted"),
                    HasSubstr("interrupted: train " + train.substr(0, 12)),
                    HasSubstr("its coordinator died; the same command goes on"),
                    HasSubstr(train.substr(0, 12) + "  interrupted"), Not(HasSubstr("running: "))));
  const auto status = nlohmann::json::parse(assay({"status", "--json"}).out);
  EXPECT_EQ(status["running"].size(), 0U);
  EXPECT_EQ(status["interrupted"][0]["job"], train);
  EXPECT_EQ(status["studies"]["tiny"]["train"]["interrupted"], 1);
  const char* words = ": its coordinator died; the same command goes on";
  EXPECT_THAT(assay({"why", train}).out, HasSubstr(std::string("interrupted") + words));
  EXPECT_THAT(assay({"log", train}).err, HasSubstr(std::string("(interrupted") + words));
  EXPECT_EQ(run(2).exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
  EXPECT_EQ(attempts().count("encode"), 3U) << "what was done is not done again";
}

TEST_F(DisturbedRunTest, AKilledRankCostsOneAttempt) {
  const auto disturbed = start_run(2);
  const auto ranks = ranks_that_run("train");
  ASSERT_EQ(ranks.size(), 2U);
  kill_process(ranks[1]);
  const CommandResult result = disturbed->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("its gang died"));
  EXPECT_THAT(result.err,
              ContainsRegex(fmt::format("killed by signal 9: rank [01] on {} \\(process {}\\)",
                                        ranks[1].host, ranks[1].pid)));
  EXPECT_EQ(numbers(), undisturbed_numbers());
  EXPECT_EQ(attempts().count("train"), 2U);
}

// Jobs that are over at once, so that each gang has its next one when it is killed.
TEST_F(DisturbedRunTest, JobsThatWaitInAGangSurviveItsDeath) {
  const std::size_t jobs = 4000;
  RunningCommand running(command({"bench-runner", "--jobs", std::to_string(jobs), "--slots", "2"}),
                         folder_ / "out");
  for (std::size_t killed = 0; killed < 3; ++killed) {
    std::vector<ProcessIdentity> ranks;
    ASSERT_TRUE(eventually([&] {
      ranks = recorded_ranks(workspace().gangs() / std::to_string(killed % 2));
      return ranks.size() == 1 && is_alive(ranks[0]) == true &&
             Store(workspace().store()).done_jobs().size() > 500 * (killed + 1);
    }));
    kill_process(ranks[0]);
  }
  const CommandResult result = running.wait();
  EXPECT_THAT(result.out, HasSubstr(fmt::format("{} jobs, {} run", jobs, jobs))) << result.err;
  std::map<std::string, std::size_t> ends;
  const Store store(workspace().store());
  for (const JobStatus& job : store.jobs()) {
    for (const Attempt& attempt : store.attempts(job.id)) {
      ++ends[attempt.message.empty() ? attempt.outcome : attempt.message];
    }
  }
  EXPECT_EQ(ends.at("done"), jobs);
  EXPECT_GT(ends["its gang ended before it began"], 0U);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(workspace().jobs())) {
    // What a rank was writing; `store gc` wants a study with a file.
    if (entry.path().extension() == ".partial") std::filesystem::remove(entry);
  }
  const CommandResult check = assay({"store", "check"});
  EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
}

TEST_F(DisturbedRunTest, AHungRankIsNamedEndedAndItsJobTriedAgain) {
  const auto disturbed = start_run(2, -1, {"--timeout", "5"});
  const auto ranks = ranks_that_run("train");
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks[1].pid, SIGSTOP);
  const CommandResult result = disturbed->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(
      result.err,
      ContainsRegex("train anomalyclip.*: hung for [5-9] s: job [0-9a-f]{8}, rank [01] on .* "
                    "\\(process [0-9]+, stopped\\): [a-z_]+, operation [0-9]+; trying again"));
  EXPECT_THAT(result.err, HasSubstr(fmt::format("process {}, stopped", ranks[1].pid)));
  for (const ProcessIdentity& rank : ranks) EXPECT_EQ(is_alive(rank), false);
  EXPECT_EQ(numbers(), undisturbed_numbers());
  const auto outcomes = attempts();
  EXPECT_THAT(outcomes, Contains(Pair("train", "timeout")));
  EXPECT_EQ(outcomes.count("train"), 2U);
}

TEST_F(DisturbedRunTest, ACancelledJobKeepsItsStateAndTheNextRunTakesItUp) {
  const auto running = start_run(2);
  static_cast<void>(ranks_that_run("train"));
  std::string train;
  for (const Attempt& attempt : Store(workspace().store()).open_attempts()) train = attempt.job;
  request_cancel(workspace(), {.all = false, .jobs = {train}});
  const CommandResult result = running->wait();
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("cancelled: train anomalyclip"), HasSubstr("2 cancelled")));
  EXPECT_EQ(run(2).exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(DisturbedRunTest, AnInterruptKeepsWhatIsDone) {
  const auto interrupted = start_run(2);
  static_cast<void>(ranks_that_run("train"));
  interrupted->send(SIGINT);
  const CommandResult result = interrupted->wait();
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the same command goes on"));
  EXPECT_EQ(run(2).exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(DisturbedRunTest, ASecondInterruptEndsAtOnceAndLeavesNobodyBehind) {
  const auto interrupted = start_run(2);
  const auto ranks = ranks_that_run("train");
  // Held still, the ranks cannot stop in good order: only the second interrupt ends them.
  for (const ProcessIdentity& rank : ranks) ::kill(rank.pid, SIGSTOP);
  interrupted->send(SIGINT);
  EXPECT_FALSE(eventually([&] { return interrupted->has_ended(); }, 1));
  interrupted->send(SIGINT);
  EXPECT_TRUE(eventually([&] { return interrupted->has_ended(); }, 10));
  EXPECT_EQ(interrupted->wait().exit_code, 130);
  for (const ProcessIdentity& rank : ranks) {
    EXPECT_TRUE(eventually([&] { return is_alive(rank) == false; })) << "a rank lives on";
  }
  EXPECT_EQ(run(2).exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

}  // namespace
}  // namespace assay
