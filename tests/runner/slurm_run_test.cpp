// Whole studies on a real Slurm: gangs as steps of an allocation, one job for a study.

#include "core/file.h"
#include "results/store.h"
#include "tests/support/slurm_cluster.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SlurmRunTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (SlurmCluster::missing().empty()) cluster_ = std::make_unique<SlurmCluster>();
  }
  static void TearDownTestSuite() { cluster_.reset(); }
  void SetUp() override {
    if (!cluster_) GTEST_SKIP() << SlurmCluster::missing();
  }

  /// `assay run` with two gangs of two ranks.
  [[nodiscard]] std::vector<std::string> run_words(std::vector<std::string> more,
                                                   const std::string& name = "w") const {
    more.insert(more.end(), {"--ranks", "2", "--slots", "4"});
    return study_.run_words(more, name);
  }
  [[nodiscard]] std::unique_ptr<RunningCommand> start(const std::vector<std::string>& words) const {
    return study_.start(words, cluster_->environment());
  }
  [[nodiscard]] CommandResult run(const std::vector<std::string>& more,
                                  const std::string& name = "w") const {
    return start(run_words(more, name))->wait();
  }
  /// One of Slurm's own programs.
  [[nodiscard]] CommandResult slurm(const std::vector<std::string>& words) const {
    std::filesystem::create_directories(study_ / "slurm");
    return RunningCommand(words, study_ / "slurm", cluster_->environment()).wait();
  }
  [[nodiscard]] std::string jobs_left() const {
    return slurm({"squeue", "--noheader", "--states=PENDING,RUNNING"}).out;
  }
  [[nodiscard]] std::vector<ProcessIdentity> training_ranks() const {
    const auto ranks = study_.training_ranks();
    EXPECT_EQ(ranks.size(), 2U) << study_.errors();
    return ranks;
  }
  static void expect_dead(const std::vector<ProcessIdentity>& ranks) {
    for (const ProcessIdentity& rank : ranks) EXPECT_EQ(is_alive(rank), false) << rank.pid;
  }

  static std::unique_ptr<SlurmCluster> cluster_;
  TinyStudy study_;
};
std::unique_ptr<SlurmCluster> SlurmRunTest::cluster_;

TEST_F(SlurmRunTest, OneSlurmJobRunsAStudyAndItsNumbersAreThoseOfMpirun) {
  ASSERT_EQ(run({"--launcher", "local"}, "by_mpirun").exit_code, 0);
  const auto following = start(run_words({"--launcher", "slurm"}));
  static_cast<void>(training_ranks());
  EXPECT_THAT(slurm({"squeue", "--noheader", "--steps"}).out, HasSubstr("assay-"))
      << "gangs are steps";
  const CommandResult result = following->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("anomalyclip")) << "the table";
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("Slurm job"), HasSubstr("6 of 6 jobs done (0 before), 0 failed")));
  EXPECT_EQ(study_.numbers(), study_.numbers("by_mpirun"));
  EXPECT_THAT(jobs_left(), IsEmpty());
}

TEST_F(SlurmRunTest, CtrlCStopsTheStudyNotOnlyTheFollowerAndTheSameCommandGoesOn) {
  const auto following = start(run_words({"--launcher", "slurm"}));
  const auto ranks = training_ranks();
  following->send(SIGINT);
  const CommandResult stopped = following->wait();
  EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("the same command goes on"));
  expect_dead(ranks);
  EXPECT_THAT(jobs_left(), IsEmpty());
  const CommandResult again = run({"--launcher", "slurm"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
}

TEST_F(SlurmRunTest, InAnAllocationADeadRankCostsOneAttempt) {
  std::vector<std::string> words = {"salloc", "--quiet", "--ntasks=4"};
  for (const std::string& word : run_words({})) words.push_back(word);
  const auto allocated = start(words);
  const auto ranks = training_ranks();
  ASSERT_EQ(ranks.size(), 2U);
  kill_process(ranks[1]);
  const CommandResult result = allocated->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("its gang died"));
  const auto outcomes = study_.outcomes();
  EXPECT_EQ(outcomes.count("crashed"), 1U);
  EXPECT_EQ(outcomes.count("done"), 6U);
}

TEST_F(SlurmRunTest, APilotThatIsKilledLeavesNoRankAndTheSameCommandGoesOn) {
  const auto following = start(run_words({"--launcher", "slurm"}));
  const auto ranks = training_ranks();
  // As the out-of-memory killer does it, or a node that goes down.
  EXPECT_EQ(slurm({"scancel", "--batch", "--signal=KILL", "--user=root"}).exit_code, 0);
  const CommandResult killed = following->wait();
  EXPECT_EQ(killed.exit_code, 75) << killed.err;
  EXPECT_THAT(killed.err, HasSubstr("the Slurm job was killed: the same command goes on"));
  expect_dead(ranks);
  const CommandResult again = run({"--launcher", "slurm"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
}

TEST_F(SlurmRunTest, BeforeTheTimeLimitJobsKeepTheirStateAndTheSameCommandGoesOn) {
  std::string text = read_file(study_ / "study.toml");
  text.replace(text.find("[10]"), 4, "[100000]");
  write_file_atomically(study_ / "study.toml", text);
  const CommandResult stopped = run({"--launcher", "slurm", "--sbatch=--time=1"});
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("stopped before the allocation's time limit"));
  EXPECT_EQ(study_.outcomes().count("crashed"), 0U) << "Slurm had nothing to kill";

  const auto steps = [&](int attempt) {  // Of the trainings that have said any.
    std::map<std::string, std::vector<int>> said;
    for (const JobStatus& job : Store(study_.workspace().store()).jobs("tiny")) {
      std::ifstream log(study_.workspace().job(job.id) /
                        fmt::format("attempt-{}/rank0.log", attempt));
      for (std::string word; log >> word;) {
        if (int step = 0; word == "step" && log >> step) said[job.id].push_back(step);
      }
    }
    return said;
  };
  const auto first = steps(1);
  ASSERT_FALSE(first.empty());
  const auto again = start(run_words({"--launcher", "slurm", "--sbatch=--time=5"}));
  EXPECT_TRUE(eventually([&] { return !steps(2).empty(); })) << study_.errors();
  for (const auto& [job, said] : steps(2)) {
    EXPECT_GT(said.front(), first.at(job).back()) << "no step is done twice";
  }
  again->send(SIGINT);
  EXPECT_EQ(again->wait().exit_code, 130);
}

TEST_F(SlurmRunTest, ASlurmThatDoesNotTalkToMpiIsNamed) {
  const CommandResult result = run({"--launcher", "slurm", "--launcher-args=--mpi=none"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("srun --mpi=list"));
}

TEST_F(SlurmRunTest, WithoutAnyNumberOfRanksNothingIsSubmitted) {
  const CommandResult result = start(study_.run_words({"--launcher", "slurm"}))->wait();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("say --slots N"));
  EXPECT_FALSE(std::filesystem::exists(study_.workspace().root / "slurm"));
}

}  // namespace
}  // namespace assay
