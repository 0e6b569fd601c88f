// Where and how people start `assay`: shells, terminals, containers (`cases.md` L01, L03 to L05),
// and what they call things (S05).

#include "core/file.h"
#include "results/sqlite.h"
#include "runner/launcher.h"
#include "tests/support/tiny_study.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kBinaries = ASSAY_BINARY_DIR;

class LaunchRunTest : public ::testing::Test {
 protected:
  LaunchRunTest() { write_study("seeds = [0]\n", "grid = { 'train.epochs' = [2] }\n"); }

  void write_study(const std::string& keys, const std::string& sweep) const {
    write_file_atomically(study_ / "study.toml",
                          "schema = 1\nname = 'tiny'\nbackbone = 'assay-tiny'\nimage_size = 64\n"
                          "train_on = 'synth-a'\ntargets = ['synth-b']\n" +
                              keys + "[[sweep]]\nmethod = 'anomalyclip'\n" + sweep);
  }
  /// `assay run` for a shell.
  [[nodiscard]] std::string run_line(int ranks = 1, const std::string& name = "w") const {
    const std::string number = std::to_string(ranks);
    return fmt::format(
        "{}", fmt::join(study_.run_words({"--ranks", number, "--slots", number}, name), " "));
  }
  [[nodiscard]] CommandResult shell(const std::string& line) const {
    return study_.start({"bash", "-c", line})->wait();
  }
  void expect_numbers_of_an_undisturbed_run() const {
    ASSERT_EQ(shell(run_line(1, "alone")).exit_code, 0);
    EXPECT_EQ(study_.numbers(), study_.numbers("alone"));
  }
  void expect_done() const {
    EXPECT_THAT(shell(run_line()).err, HasSubstr("4 of 4 jobs done (4 before)"));
    EXPECT_EQ(study_.outcomes().count("done"), 4U);
  }

  TinyStudy study_;
};

TEST_F(LaunchRunTest, NoCommandTakesTheInputOfTheLoopThatCallsIt) {
  const std::string more = " -w " + study_.workspace().root.string() + " >&2; ";
  const std::string study = (study_ / "study.toml").string();
  const CommandResult result = shell(
      "printf 'a\\nb\\nc\\n' | while read word; do echo $word; " + run_line(2) + " >&2; " +
      kBinaries + "/assay plan " + study + " --data " + small_drawings().string() + more +
      kBinaries + "/assay status" + more + kBinaries + "/assay table " + study + more + "done");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "a\nb\nc\n");
}

TEST_F(LaunchRunTest, ABackgroundJobOfATerminalIsNeverStopped) {
  // `script` gives it a terminal; `tostop` stops whoever writes to it from the background.
  for (const char* terminal : {"", "stty tostop; "}) {
    std::filesystem::remove_all(study_.workspace().root);
    write_file_atomically(study_ / "job.sh", fmt::format("set -m; {}{} & wait $!; echo code $?\n",
                                                         terminal, run_line(2)));
    const CommandResult result =
        study_.start({"script", "-qec", "bash " + (study_ / "job.sh").string(), "/dev/null"})
            ->wait();
    EXPECT_THAT(result.out, HasSubstr("code 0")) << terminal << result.out;
  }
  expect_done();
}

TEST_F(LaunchRunTest, NohupKeepsItGoingWhenTheTerminalIsGone) {
  const auto run = study_.start({"bash", "-c", "exec nohup " + run_line() + " < /dev/null"});
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(study_.workspace().live()); }));
  run->send(SIGHUP);
  EXPECT_EQ(run->wait().exit_code, 0) << study_.errors();
  expect_done();
}

TEST_F(LaunchRunTest, ASessionOfItsOwnIsNoDifference) {
  EXPECT_EQ(shell("setsid --wait " + run_line(2)).exit_code, 0) << study_.errors();
  expect_done();
}

TEST_F(LaunchRunTest, WithoutPtraceRightsTheNumbersAreTheSameAndNoLogIsFlooded) {
  const CommandResult result = shell(kBinaries + "/without_process_vm " + run_line(2));
  if (result.exit_code == 77) GTEST_SKIP() << "no seccomp filter can be set here: " << result.err;
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(study_.workspace().root)) {
    if (entry.path().extension() != ".log") continue;
    EXPECT_LT(entry.file_size(), 20000U) << entry.path();
    EXPECT_THAT(read_file(entry.path()), Not(HasSubstr("Read -1"))) << entry.path();
  }
  expect_numbers_of_an_undisturbed_run();
}

/// In a container with a /dev/shm of its own (`cases.md` L05).
std::string with_shared_memory(const std::string& size, const std::string& line) {
  return fmt::format(
      "exec unshare --mount bash -c 'mount -t tmpfs -o size={} tmpfs /dev/shm && exec {}'", size,
      line);
}

TEST_F(LaunchRunTest, RanksDoWithoutSharedMemoryWhereAContainerHasNearlyNone) {
  if (shell(with_shared_memory("64k", "true")).exit_code != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  const CommandResult result = shell(with_shared_memory("64k", run_line(4)));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  expect_numbers_of_an_undisturbed_run();
}

/// Whether the process has a handler of its own for the signal, by proc(5).
bool handles(pid_t pid, int signal) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("SigCgt:")) continue;
    return (std::stoull(line.substr(line.find('\t') + 1), nullptr, 16) >> (signal - 1) & 1) != 0;
  }
  return true;
}

TEST_F(LaunchRunTest, ARankThatSharedMemoryFailsIsToldFromOthers) {
  if (shell(with_shared_memory("64k", "true")).exit_code != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  write_study("seeds = [0]\n", "grid = { 'train.epochs' = [60] }\n");
  const auto run = study_.start({"bash", "-c", with_shared_memory("20m", run_line(2))});
  const std::vector<ProcessIdentity> ranks = study_.training_ranks();
  ASSERT_EQ(ranks.size(), 2U) << study_.errors();
  for (const int signal : {SIGBUS, SIGSEGV, SIGABRT, SIGFPE}) {
    EXPECT_FALSE(handles(ranks[1].pid, signal)) << "it dies at once of signal " << signal;
  }
  ::kill(ranks[1].pid, SIGBUS);  // As the kernel does where a page cannot be had.
  const CommandResult result = run->wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("a rank was killed by signal 7"), HasSubstr("/dev/shm has 21 MB, "),
                    HasSubstr(" of them free"), HasSubstr("--shm-size=1g")));
  expect_numbers_of_an_undisturbed_run();
}

TEST_F(LaunchRunTest, WhatMpiKeptForKilledProcessesIsRemovedByTheNextRun) {
  write_study("seeds = [0]\n", "grid = { 'train.epochs' = [60] }\n");
  std::filesystem::create_directory(study_ / "tmp");
  const std::map<std::string, std::string> environment = {{"TMPDIR", study_ / "tmp"}};
  const std::string name = step_name(study_.workspace().gangs() / "0");
  const std::filesystem::path shared = fmt::format("/dev/shm/{}.{}", name, ::geteuid());
  const auto run = study_.start({"bash", "-c", "exec " + run_line(2)}, environment);
  const std::vector<ProcessIdentity> ranks = study_.training_ranks();
  ASSERT_EQ(ranks.size(), 2U) << study_.errors();
  run->send(SIGSTOP);  // It would clean up at once.
  std::filesystem::create_directory(study_ / "pkill");
  const std::string parent = std::to_string(run->pid());
  ASSERT_EQ(RunningCommand({"pkill", "-9", "-P", parent}, study_ / "pkill").wait().exit_code, 0)
      << "mpirun, whose ranks follow";
  run->send(SIGKILL);
  EXPECT_EQ(run->wait().exit_code, 128 + SIGKILL);
  EXPECT_FALSE(std::filesystem::is_empty(shared)) << "what ranks share";
  EXPECT_FALSE(std::filesystem::is_empty(study_ / "tmp")) << "mpirun's session";

  EXPECT_EQ(study_.start({"bash", "-c", "exec " + run_line(2)}, environment)->wait().exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(shared));
  EXPECT_TRUE(std::filesystem::is_empty(study_ / "tmp"));
}

TEST_F(LaunchRunTest, WhatMpirunDoesNotKnowIsNamedInItsOwnWords) {
  const CommandResult result = shell(run_line(2) + " --retries 0 --launcher-args=--nonesuch");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("no gang could start"), HasSubstr("nonesuch")));
}

TEST_F(LaunchRunTest, AStoreOfANewerBuildIsRefusedOrKept) {
  ASSERT_EQ(shell(run_line()).exit_code, 0);
  Database(study_.workspace().store()).execute("UPDATE schema_version SET version = 99");
  const std::string where = " -w " + study_.workspace().root.string();
  const std::string study = (study_ / "study.toml").string();
  for (const std::string& command :
       {"plan " + study + " --data " + small_drawings().string(), std::string("log --failed"),
        std::string("cancel --all"), std::string("store gc"), std::string("store gc --delete")}) {
    const CommandResult refused = shell(kBinaries + "/assay " + command + where);
    EXPECT_EQ(refused.exit_code, 1) << command;
    EXPECT_THAT(refused.err, HasSubstr("store.db: schema version 99, this build of assay"));
  }
  const CommandResult rebuilt = shell(kBinaries + "/assay store rebuild" + where);
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.err;
  const std::string kept = study_.workspace().store().string() + ".before-rebuild";
  EXPECT_THAT(rebuilt.err, HasSubstr("the store before is " + kept));
  Database former(kept);
  Statement version = former.prepare("SELECT version FROM schema_version");
  ASSERT_TRUE(version.step());
  EXPECT_EQ(version.integer(0), 99);
  expect_done();
}

TEST_F(LaunchRunTest, LongAndForeignNamesNeverMeetTheLimitsOfAFileSystem) {
  const std::filesystem::path data = study_ / "data";
  std::filesystem::copy(small_drawings(), data, std::filesystem::copy_options::recursive);
  std::string category;
  for (int i = 0; i < 60; ++i) category += "\xd0\xb6\xc3\xbc";  // 240 bytes.
  std::filesystem::rename(data / "synth-a/fuse", data / "synth-a" / category);
  write_study("outputs = { heatmaps = 100 }\n",
              "grid = { 'train.epochs' = [1], 'train.lr' = [0.002], 'train.batch' = [4], E = [6], "
              "'infer.sigma' = [2.0], 'loss.lambda' = [2.0], 'loss.dice' = [false], "
              "'text.deep_depth' = [4], 'text.deep_len' = [2], 'text.temperature' = [0.05], "
              "'prompt.abnormal_word' = ['scratched'], 'prompt.shared' = [true] }\n");
  std::string text = read_file(study_ / "study.toml");
  text.replace(text.find("'tiny'"), 6, "'" + std::string(300, 'n') + "'");
  std::swap(text[text.find("synth-a") + 6], text[text.find("synth-b") + 6]);
  write_file_atomically(study_ / "study.toml", text);
  std::string line = run_line();
  line.replace(line.find(small_drawings().native()), small_drawings().native().size(), data);
  const CommandResult result = shell(line);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, Not(HasSubstr("could not be drawn")));
  std::size_t pictures = 0;  // Of the category with the long name.
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(study_.workspace().root / "heatmaps")) {
    const std::string name = entry.path().filename().string();
    EXPECT_LE(name.size(), 255U);
    pictures += name.find(category.substr(0, 40)) != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(pictures, 6U);
}

}  // namespace
}  // namespace assay
