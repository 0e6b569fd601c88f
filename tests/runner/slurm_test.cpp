// Slurm's own programs against a real cluster of one node.

#include "runner/slurm.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/pilot.h"
#include "runner/resources.h"
#include "runner/run_program.h"
#include "tests/support/slurm_cluster.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <thread>

namespace assay {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

TEST(SlurmEnvironmentTest, RanksOfAnAllocationAreItsTasksOrElseItsCores) {
  ::unsetenv("SLURM_NTASKS");
  ::setenv("SLURM_JOB_CPUS_PER_NODE", "16(x2),8", 1);
  EXPECT_EQ(allocation_slots(), 40);
  ::setenv("SLURM_NTASKS", "6", 1);
  EXPECT_EQ(allocation_slots(), 6);
  ::unsetenv("SLURM_NTASKS");
  for (const char* odd : {"", "many", "16(x", "16(2)", "8;8"}) {
    ::setenv("SLURM_JOB_CPUS_PER_NODE", odd, 1);
    EXPECT_EQ(allocation_slots(), 0) << odd;
  }
  ::unsetenv("SLURM_JOB_CPUS_PER_NODE");
}

TEST(SlurmEnvironmentTest, GpusOfAnAllocationAreThoseOfThisNodeOnEachOfItsNodes) {
  ::unsetenv("SLURM_GPUS_ON_NODE");
  ::setenv("SLURM_JOB_NUM_NODES", "3", 1);
  EXPECT_EQ(allocation_gpus(), 0);
  ::setenv("SLURM_GPUS_ON_NODE", "4", 1);
  EXPECT_EQ(allocation_gpus(), 12);
  ::unsetenv("SLURM_GPUS_ON_NODE");
  ::unsetenv("SLURM_JOB_NUM_NODES");
}

TEST(SlurmEnvironmentTest, WithoutSlurmTheErrorSaysSo) {
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  try {
    static_cast<void>(submit_job({}, "script.sh"));
    ADD_FAILURE() << "nothing thrown";
  } catch (const CommError& error) {
    EXPECT_THAT(error.what(), HasSubstr("there is no Slurm here: sbatch"));
  }
  ::setenv("PATH", path.c_str(), 1);
}

TEST(InterruptsTest, TheEndOfTheTimeCountsAsAFirstSignalOnly) {
  Interrupts interrupts(std::chrono::seconds(1));
  EXPECT_EQ(interrupts.count(), 0);
  EXPECT_TRUE(eventually([&] { return interrupts.count() == 1; }, 20));
  EXPECT_TRUE(interrupts.out_of_time());
  ::kill(::getpid(), SIGINT);
  EXPECT_EQ(interrupts.count(), 1) << "the person's first";
  ::kill(::getpid(), SIGINT);
  EXPECT_EQ(interrupts.count(), 2);
}

class SlurmTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!SlurmCluster::missing().empty()) return;
    cluster_ = std::make_unique<SlurmCluster>();
    for (const auto& [name, value] : cluster_->environment()) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  static void TearDownTestSuite() { cluster_.reset(); }
  void SetUp() override {
    if (!cluster_) GTEST_SKIP() << SlurmCluster::missing();
  }

  /// A pilot that runs `script`; its exit code.
  std::optional<int> follow(const std::string& script, Interrupts& interrupts) {
    return follow_pilot({.folder = folder_ / "slurm",
                         .study = "k",
                         .command = {"/bin/sh", "-c", script},
                         .sbatch_options = options_,
                         .poll_seconds = 0.1},
                        interrupts, [this](const std::string& line) {
                          said_.push_back(line);
                          if (line.find("is there already") != std::string::npos) on_found_();
                        });
  }
  std::optional<int> follow(const std::string& script) {
    Interrupts interrupts;
    return follow(script, interrupts);
  }

  [[nodiscard]] bool pilot_runs() const {
    const auto record = folder_ / "slurm/k.json";
    if (!std::filesystem::exists(record)) return false;
    const auto job = find_job(nlohmann::json::parse(read_file(record))["name"]);
    return job && job->state == "RUNNING";
  }

  std::string submit(const std::string& script, std::vector<std::string> options) {
    write_file_atomically(folder_ / "script.sh", "#!/bin/sh\n" + script + "\n");
    options.push_back("--output=" + (folder_ / "log").string());
    return submit_job(options, (folder_ / "script.sh").string());
  }

  static std::unique_ptr<SlurmCluster> cluster_;
  TemporaryFolder folder_;
  std::vector<std::string> options_ = {"--ntasks=1"};
  std::vector<std::string> said_;
  std::function<void()> on_found_ = [] {};  ///< When a pilot is there already.
};
std::unique_ptr<SlurmCluster> SlurmTest::cluster_;

TEST_F(SlurmTest, APilotIsFollowedToItsEndAndWhatItPrintsIsShown) {
  EXPECT_EQ(follow("echo 'it''s done' >&2; echo table; echo \"in $SLURM_JOB_ID\" >&2; "
                   "echo 1 > \"$ASSAY_EXIT_FILE\""),
            1);
  EXPECT_THAT(said_, Contains(HasSubstr("submitted; its log is")));
  EXPECT_THAT(said_, Contains("its done"));
  EXPECT_THAT(said_, Contains(HasSubstr("in ")));
  EXPECT_THAT(said_, Not(Contains("table"))) << "the follower prints the table itself";
}

TEST_F(SlurmTest, SbatchsOwnWordsSayWhatItRefuses) {
  options_ = {"--ntasks=1", "--partition=nonesuch"};
  try {
    follow("true");
    ADD_FAILURE() << "nothing thrown";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("sbatch refuses"));
    EXPECT_THAT(error.what(), HasSubstr("nonesuch"));
  }
  options_ = {"--ntasks=1"};
  follow("true");
  EXPECT_THAT(said_, Not(Contains(HasSubstr("already")))) << "the refused one left nothing behind";
}

TEST_F(SlurmTest, ThePilotOfAFollowerThatWasKilledIsFoundAgain) {
  const auto gate = folder_ / "gate";
  const pid_t follower = ::fork();
  if (follower == 0) {
    follow("while [ ! -e " + gate.string() + " ]; do sleep 0.1; done; echo through >&2");
    std::_Exit(0);
  }
  ASSERT_TRUE(eventually([&] { return pilot_runs(); }));
  ::kill(follower, SIGKILL);
  on_found_ = [&] { write_file_atomically(gate, ""); };
  follow("echo a second pilot >&2");
  EXPECT_THAT(said_, Contains(HasSubstr("is there already: following it")));
  EXPECT_THAT(said_, Contains("through"));
  EXPECT_THAT(said_, Not(Contains("a second pilot")));
}

TEST_F(SlurmTest, ARecordOfAJobThatIsGoneDoesNotKeepThePilotFromBeingSubmitted) {
  write_file_atomically(folder_ / "slurm/k.json", R"({"name": "assay-k-1-0000abcd"})");
  follow("echo fresh >&2");
  EXPECT_THAT(said_, Contains("fresh"));
}

// cases.md C06.
TEST_F(SlurmTest, AnotherUsersJobIsNeverTakenForThePilot) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root submits as somebody else";
  const std::string name = "assay-k-1-0000abcd";
  const std::string id =
      submit("sleep 60", {"--ntasks=1", "--hold", "--uid=65534", "--job-name=" + name});
  write_file_atomically(folder_ / "slurm/k.json", nlohmann::json{{"name", name}}.dump());
  follow("echo fresh >&2");
  EXPECT_THAT(said_, Contains("fresh"));
  EXPECT_THAT(said_, Not(Contains(HasSubstr("already"))));
  const ProgramResult left =
      run_program({"squeue", "--noheader", "--format=%i %u", "--job=" + id}, 60);
  EXPECT_THAT(left.out, HasSubstr(id + " nobody")) << "it is left alone";
  cancel_job({.id = id, .state = "PENDING", .reason = ""});
}

TEST_F(SlurmTest, ASignalReachesTheProgramAndASecondOneCancelsTheJob) {
  Interrupts interrupts;
  std::thread impatient([&] {
    const auto log = [&] {
      for (const auto& entry : std::filesystem::directory_iterator(folder_ / "slurm")) {
        if (entry.path().extension() == ".log") return read_file(entry.path());
      }
      return std::string();
    };
    const auto printed = [&](const char* text) {
      return std::filesystem::exists(folder_ / "slurm") && log().find(text) != std::string::npos;
    };
    EXPECT_TRUE(eventually([&] { return printed("ready"); }));
    ::kill(::getpid(), SIGINT);
    EXPECT_TRUE(eventually([&] { return printed("asked to stop"); }));
    ::kill(::getpid(), SIGINT);
  });
  const auto code = follow(
      "trap 'echo asked to stop >&2' INT; echo ready >&2; while :; do sleep 0.1; done", interrupts);
  impatient.join();
  EXPECT_FALSE(code) << "it had no time to say one";
  EXPECT_THAT(said_, Contains("asked to stop"));
  EXPECT_THAT(said_, Contains(HasSubstr("once more to cancel it")));
}

TEST_F(SlurmTest, AControllerThatIsSilentForAWhileIsNotTakenForAJobThatIsGone) {
  const auto gate = folder_ / "gate";
  std::thread outage([&] {
    EXPECT_TRUE(eventually([&] { return pilot_runs(); }));
    cluster_->stop_controller();
    std::this_thread::sleep_for(std::chrono::seconds(4));
    cluster_->start_controller();
    write_file_atomically(gate, "");
  });
  follow("while [ ! -e " + gate.string() + " ]; do sleep 0.1; done; echo through >&2");
  outage.join();
  EXPECT_THAT(said_, Contains("through"));
}

TEST_F(SlurmTest, TheEndOfAnAllocationIsReadFromSlurm) {
  const std::string id = submit("sleep 60", {"--time=10", "--ntasks=1", "--job-name=limit"});
  ASSERT_TRUE(eventually([&] { return find_job("limit")->state == "RUNNING"; }));
  const auto end = allocation_end(id);
  ASSERT_TRUE(end);
  const auto left = *end - std::time(nullptr);
  EXPECT_GT(left, 9 * 60);
  EXPECT_LE(left, 10 * 60);
  cancel_job(*find_job("limit"));
}

TEST_F(SlurmTest, StepsOnGpusRunSideBySideOnGpusOfTheirOwnAndOthersHaveNone) {
  std::string script = "echo $SLURM_GPUS_ON_NODE $SLURM_JOB_NUM_NODES > counts\n";
  // Each waits for the other two: that all have begun is a matter of seconds, or of the time limit.
  for (const auto& [step, gpus] :
       std::map<std::string, bool>{{"a", true}, {"b", true}, {"c", false}}) {
    for (const std::string& word : step_command(1, step, gpus)) script += word + " ";
    script += fmt::format(
        "sh -c 'echo \"$CUDA_VISIBLE_DEVICES\" > {}; until [ -e a -a -e b -a -e c ]; do sleep 0.1; "
        "done' &\n",
        step);
  }
  static_cast<void>(submit(script + "wait\ntouch ended", {"--ntasks=4", "--gres=gpu:2", "--time=1",
                                                          "--chdir=" + folder_.path().string()}));
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(folder_ / "ended"); }, 60))
      << read_file(folder_ / "log");
  EXPECT_EQ(read_file(folder_ / "counts"), "2 1\n");
  EXPECT_THAT((std::vector{read_file(folder_ / "a"), read_file(folder_ / "b")}),
              UnorderedElementsAre("0\n", "1\n"));
  EXPECT_THAT(read_file(folder_ / "c"), AnyOf("\n", "NoDevFiles\n"));
}

TEST_F(SlurmTest, OnGpusAnAllocationHasAsManySlotsAsGpus) {
  const std::string id = submit("sleep 60", {"--ntasks=4", "--gres=gpu:2", "--job-name=gpus"});
  ::setenv("SLURM_JOB_ID", id.c_str(), 1);
  ::setenv("SLURM_NTASKS", "4", 1);
  ::setenv("SLURM_GPUS_ON_NODE", "2", 1);
  const std::vector<std::string> gpus = {"0", "1"};
  const Resources found = find_resources({}, gpus);
  EXPECT_EQ(found.slots.size(), 2U);
  EXPECT_EQ(found.ranks, 1) << "one model a GPU";
  EXPECT_TRUE(found.launcher.gpus);
  EXPECT_EQ(find_resources({}, {}).slots.size(), 4U) << "on CPUs its tasks";
  ResourceArguments three;
  three.slots = 3;
  EXPECT_THAT([&] { static_cast<void>(find_resources(three, gpus)); },
              ThrowsMessage<ConfigError>(HasSubstr("3 ranks in an allocation of 2 GPUs")));
  for (const char* name : {"SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_GPUS_ON_NODE"}) ::unsetenv(name);
  cancel_job(*find_job("gpus"));
}

TEST_F(SlurmTest, StepsThatAreEndedLeaveNoProcess) {
  const auto pids = folder_ / "pids";
  const std::string step = "gang-7";
  std::string srun;
  for (const std::string& word : step_command(2, step, /*gpus=*/false)) srun += word + " ";
  const std::string id = submit(srun + "sh -c 'echo $$ >> " + pids.string() + "; exec sleep 600'",
                                {"--ntasks=2", "--job-name=steps"});
  ASSERT_TRUE(eventually([&] {
    return std::filesystem::exists(pids) && std::ranges::count(read_file(pids), '\n') == 2;
  })) << read_file(folder_ / "log");
  end_steps(id, "another");
  std::istringstream text(read_file(pids));
  std::vector<pid_t> processes{std::istream_iterator<pid_t>(text), {}};
  for (const pid_t pid : processes) EXPECT_EQ(::kill(pid, 0), 0) << "another step was meant";
  end_steps(id, step);
  for (const pid_t pid : processes) EXPECT_NE(::kill(pid, 0), 0);
}

}  // namespace
}  // namespace assay
