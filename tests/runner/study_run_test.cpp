// Whole studies with the real programs: data on disk, mpirun, store, table.

#include "core/error.h"
#include "core/file.h"
#include "results/store.h"
#include "runner/cancel_requests.h"
#include "runner/lease.h"
#include "runner/process.h"
#include "runner/workspace.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

constexpr const char* kStudy = R"(
schema = 1
name = "tiny"
backbone = "assay-tiny"
image_size = 64
train_on = "synth-a"
targets = ["synth-b"]
[[sweep]]
method = "clip"
[[sweep]]
method = "anomalyclip"
grid = { "train.epochs" = [10] }
)";

class StudyRunTest : public ::testing::Test {
 protected:
  StudyRunTest() {
    std::filesystem::create_directories(folder_ / "out");
    write_study(kStudy);
  }

  void write_study(const std::string& text) { write_file_atomically(study(), text); }
  [[nodiscard]] std::filesystem::path study() const { return folder_ / "study.toml"; }
  [[nodiscard]] Workspace workspace() const { return {folder_ / "w"}; }

  [[nodiscard]] std::vector<std::string> command(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {std::string(ASSAY_BINARY_DIR) + "/assay"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    all.insert(all.end(), {"-w", workspace().root.string()});
    return all;
  }
  [[nodiscard]] std::unique_ptr<RunningCommand> start_run(
      int ranks, int input = -1, const std::vector<std::string>& more = {}) const {
    const std::string data = data_.empty() ? small_drawings().string() : data_.string();
    std::vector<std::string> words =
        command({"run", study().string(), "--data", data, "--ranks", std::to_string(ranks),
                 "--slots", std::to_string(ranks)});
    words.insert(words.end(), more.begin(), more.end());
    return std::make_unique<RunningCommand>(words, folder_ / "out",
                                            std::map<std::string, std::string>{}, input);
  }
  [[nodiscard]] CommandResult run(int ranks = 1) const { return start_run(ranks)->wait(); }
  [[nodiscard]] CommandResult assay(const std::vector<std::string>& arguments,
                                    const std::string& output = "out") const {
    std::filesystem::create_directories(folder_ / output);
    return RunningCommand(command(arguments), folder_ / output).wait();
  }

  /// Every number of the study, as text.
  [[nodiscard]] std::string numbers() const {
    return assay({"table", study().string(), "--format", "csv"}).out;
  }
  /// Outcomes of all attempts, by kind of job.
  [[nodiscard]] std::multimap<std::string, std::string> attempts() const {
    const Store store(workspace().store());
    std::multimap<std::string, std::string> outcomes;
    for (const JobStatus& job : store.jobs()) {
      for (const Attempt& attempt : store.attempts(job.id)) {
        outcomes.emplace(job.kind, attempt.outcome);
      }
    }
    return outcomes;
  }
  /// Waits until a job of `kind` has an attempt with a live rank; its ranks.
  [[nodiscard]] std::vector<ProcessIdentity> ranks_that_run(const std::string& kind) const {
    std::vector<ProcessIdentity> ranks;
    EXPECT_TRUE(eventually([&] {
      if (!std::filesystem::exists(workspace().store())) return false;
      const Store store(workspace().store());
      for (const Attempt& attempt : store.open_attempts()) {
        if (store.job(attempt.job).kind != kind) continue;
        ranks = recorded_ranks(workspace().gangs() / std::to_string(attempt.gang));
        return static_cast<std::int64_t>(ranks.size()) == attempt.ranks;
      }
      return false;
    }));
    return ranks;
  }

  /// The numbers of an undisturbed run with one rank.
  static const std::string& undisturbed_numbers();

  TemporaryFolder folder_;
  std::filesystem::path data_;  ///< Where not the drawings.
};

class UndisturbedRun : public StudyRunTest {
 public:
  void TestBody() override {}
  std::string numbers_of_a_run() {
    EXPECT_EQ(run(1).exit_code, 0);
    return numbers();
  }
};

const std::string& StudyRunTest::undisturbed_numbers() {
  static const std::string numbers = UndisturbedRun().numbers_of_a_run();
  return numbers;
}

TEST_F(StudyRunTest, RunsPrintsATableAndResumesWithoutStartingAnything) {
  write_study("outputs = { heatmaps = 2 }\n" + std::string(kStudy));
  const CommandResult first = run(2);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, AllOf(HasSubstr("anomalyclip"), HasSubstr("synth-b")));
  EXPECT_THAT(first.err, HasSubstr("6 of 6 jobs done (0 before), 0 failed"));
  EXPECT_EQ(numbers(), undisturbed_numbers()) << "two ranks give the numbers of one";
  EXPECT_TRUE(std::filesystem::exists(workspace().root / "heatmaps/synth-b/clip-paper"));
  const auto before = attempts();

  const CommandResult second = run(2);
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_THAT(second.err, HasSubstr("6 of 6 jobs done (6 before)"));
  EXPECT_EQ(attempts(), before);
  EXPECT_EQ(second.out, first.out);

  const CommandResult status = assay({"status"});
  EXPECT_EQ(status.exit_code, 0) << status.err;
  EXPECT_THAT(status.out, AllOf(HasSubstr("idle"), HasSubstr("2 of 2 done")));
  const nlohmann::json jobs =
      nlohmann::json::parse(assay({"status", "--jobs", "--json"}).out)["jobs"];
  ASSERT_EQ(jobs.size(), 6U);
  EXPECT_EQ(assay({"log", jobs[0]["id"].get<std::string>().substr(0, 10)}).exit_code, 0);
}

TEST_F(StudyRunTest, RowsOfAblationsAndClassWordsReachTheNumbers) {
  std::string words = "dataset,category,word\n";
  for (const auto& category : std::filesystem::directory_iterator(small_drawings() / "synth-b")) {
    words += "synth-b," + category.path().filename().string() + ",rusty nail\n";
  }
  write_file_atomically(folder_ / "words.csv", words);
  const std::string head(kStudy);
  write_study(head.substr(0, head.find("[[sweep]]")) + R"(
[[sweep]]
method = "anomalyclip:released"
grid = { epochs = [2] }
[[sweep]]
method = "faprompt:paper"
grid = { row = ["base"], epochs = [2] }
[[sweep]]
method = "anomalyclip"
grid = { row = ["local0_global0"] }
[[sweep]]
method = "anomalyclip"
grid = { epochs = [0], object_test = ["cls"], "prompt.words" = ["default", "words.csv"] }
)");
  const CommandResult ran = run(2);
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  std::map<std::string, std::vector<std::optional<double>>> values;  // By row of the table.
  const Store store(workspace().store());
  const std::vector<StudyCell> cells = store.cells("tiny");
  for (const MetricValue& value : store.metric_values("tiny")) {
    const StudyCell& cell = cells.at(static_cast<std::size_t>(value.position));
    values[cell.method + " " + cell.params->dump()].push_back(value.row.value);
  }
  ASSERT_EQ(values.size(), 5U);
  EXPECT_EQ(values.at(R"(faprompt {"row":"base","train.epochs":2})"),
            values.at(R"(anomalyclip {"train.epochs":2})"));
  const std::string untrained = R"(anomalyclip {"prompt.object_test":"cls","prompt.words":)";
  EXPECT_NE(values.at(untrained + R"("default","train.epochs":0})"),
            values.at(untrained + R"("words.csv","train.epochs":0})"));
  EXPECT_NE(values.at(untrained + R"("default","train.epochs":0})"),
            values.at(R"(anomalyclip {"row":"local0_global0"})"));
}

TEST_F(StudyRunTest, EnsemblesCurvesAndTrainingsPerLevelReachTheTable) {
  const std::string head(kStudy);
  const std::string keys = head.substr(0, head.find("[[sweep]]"));
  const std::string sweep = "[[sweep]]\nmethod = \"anomalyclip\"\n";
  write_study(keys + sweep + "grid = { epochs = [4] }\nseeds = [0, 1]\nensemble = {}\n" + sweep +
              "grid = { epochs = [4] }\nseeds = [0, 1]\nensemble = { combine = \"scores\" }\n" +
              sweep + "grid = { epochs = [4] }\neval = { epochs = [2], on_train = true }\n");
  const CommandResult ran = run(2);
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("ensemble=prototype"), HasSubstr("ensemble=scores")));
  const std::string curves = assay({"table", study().string(), "--curves", "-f", "csv"}).out;
  EXPECT_THAT(curves, AllOf(HasSubstr(",synth-a,image,auroc,"), HasSubstr(",2\n"),
                            HasSubstr(",4\n"), Not(HasSubstr("ensemble"))));
  const std::string table = numbers();
  EXPECT_THAT(table, Not(HasSubstr("synth-a,image")));

  // A training that went on from the state of a shorter one has the bits of one that did not.
  const auto checkpoints = [&] {
    std::map<std::string, std::string> digests;  // By epochs and seed.
    const Store store(workspace().store());
    for (const JobStatus& job : store.jobs()) {
      if (job.kind != "train") continue;
      const auto spec = nlohmann::json::parse(store.job(job.id).spec);
      digests[spec["epochs"].dump() + " " + spec["seed"].dump()] =
          store.result(job.id)->at("checkpoint_sha256");
    }
    return digests;
  };
  const auto continued = checkpoints();
  ASSERT_EQ(continued.size(), 3U);
  std::filesystem::remove_all(workspace().root);
  write_study(keys + sweep + "grid = { epochs = [4] }\n");
  ASSERT_EQ(run(1).exit_code, 0);
  EXPECT_EQ(checkpoints().at("4 0"), continued.at("4 0"));

  std::string per_level = keys;
  per_level.replace(per_level.find("\"synth-a\""), 9,
                    "{ image = \"synth-a\", pixel = \"synth-b\" }");
  write_study("allow_overlap = true\n" + per_level + sweep + "grid = { epochs = [4] }\n");
  const CommandResult levels = run(1);
  ASSERT_EQ(levels.exit_code, 0) << levels.err;
  EXPECT_THAT(levels.err, HasSubstr("6 of 6 jobs done (4 before)")) << "the image level is known";
  EXPECT_THAT(levels.err, HasSubstr("72 of the 72 images of target synth-b are also in its"));
}

TEST_F(StudyRunTest, StatusSaysWhatRunsNow) {
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

TEST_F(StudyRunTest, AStudyThatChangedRunsOnlyWhatChanged) {
  ASSERT_EQ(run().exit_code, 0);
  std::string changed = kStudy;
  changed.replace(changed.find("[10]"), 4, "[10, 3]");
  write_study(changed);
  const CommandResult second = run();
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("8 of 8 jobs done (6 before)"));
  EXPECT_EQ(attempts().count("encode"), 3U);
  EXPECT_EQ(attempts().count("train"), 2U);
  EXPECT_EQ(attempts().count("evaluate"), 3U);
  write_study(kStudy);
  EXPECT_THAT(run().err, HasSubstr("6 of 6 jobs done (6 before)"));
  EXPECT_EQ(numbers(), undisturbed_numbers()) << "what is not wanted any more is not shown";
}

TEST_F(StudyRunTest, ARunWithOtherValuesTakesNothingFromTheStudy) {
  ASSERT_EQ(run().exit_code, 0);
  const CommandResult other = start_run(1, -1, {"train.epochs=3"})->wait();
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.err, HasSubstr("6 of 6 jobs done (4 before)"));
  EXPECT_THAT(assay({"store", "gc"}).out, Not(HasSubstr("no study needs")));
  EXPECT_EQ(numbers(), undisturbed_numbers());
  EXPECT_EQ(assay({"table", study(), "train.epochs=3"}).out, other.out);
  EXPECT_THAT(assay({"table", study(), "train.epochs=4"}).err,
              HasSubstr("what ran: 'tiny', 'tiny train.epochs=3'"));
  const auto explained = assay({"explain", study(), "anomalyclip", "synth-b", "train.epochs=3"});
  EXPECT_EQ(explained.exit_code, 0) << explained.err;
  write_study(std::string(kStudy) + "# A word.\n");
  EXPECT_THAT(assay({"table", study()}).err, HasSubstr("was changed since it was run here"));
}

TEST_F(StudyRunTest, TheStoreIsMadeAgainFromTheJobFoldersAsItWas) {
  ASSERT_EQ(run(2).exit_code, 0);
  const auto content = [&] {
    Database database(workspace().store());
    std::vector<std::string> rows;
    for (const auto& [sql, columns] :
         {std::pair("SELECT id, kind, spec, state, cost_class, work, result, done_at FROM jobs "
                    "ORDER BY id",
                    8),
          std::pair("SELECT job, needs FROM job_dependencies ORDER BY job, needs", 2),
          std::pair("SELECT job, number, gang, ranks, host, pid, started_at, ended_at, seconds, "
                    "outcome, exit_code, signal, message, log_path, cpu_capability, threads, facts "
                    "FROM attempts JOIN environment ON environment.id = environment "
                    "ORDER BY job, number",
                    17),
          std::pair("SELECT * FROM metrics ORDER BY job, dataset, category, level, metric", 11)}) {
      Statement select = database.prepare(sql);
      while (select.step()) {
        std::string row;
        for (int i = 0; i < columns; ++i) row += select.text(i) + "|";
        rows.push_back(row);
      }
    }
    return rows;
  };
  const auto before = content();
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(workspace().store().string() + suffix);
  }
  const CommandResult rebuilt = assay({"store", "rebuild"});
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.err;
  EXPECT_EQ(content(), before);
  EXPECT_EQ(assay({"store", "check"}).exit_code, 0);
  EXPECT_THAT(run(2).err, HasSubstr("6 of 6 jobs done (6 before)"));
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(StudyRunTest, AMemberOfTheGroupGoesOnInTheWorkspaceOfAnother) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become two other people";
  constexpr unsigned kGroup = 54321;
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  std::filesystem::create_directories(workspace().root);
  ASSERT_EQ(::chown(workspace().root.c_str(), 0, kGroup), 0);
  ASSERT_EQ(::chmod(workspace().root.c_str(), 02775), 0);
  const auto as = [&](const std::string& user, const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"setpriv",
                                      "--reuid",
                                      user,
                                      "--regid",
                                      user,
                                      "--groups",
                                      std::to_string(kGroup),
                                      "sh",
                                      "-c",
                                      "umask 002 && cd / && exec \"$@\"",
                                      "sh"};
    for (const std::string& word : command(arguments)) words.push_back(word);
    return RunningCommand(words, folder_ / "out").wait();
  };
  const auto run_as = [&](const std::string& user) {
    return as(user, {"run", study().string(), "--data", small_drawings().string(), "--ranks", "2",
                     "--slots", "2"});
  };
  if (as("54001", {"--version"}).exit_code != 0) {
    GTEST_SKIP() << "other people cannot execute this build";
  }
  ASSERT_EQ(::chmod(small_drawings().c_str(), 0755), 0);
  const CommandResult first = run_as("54001");
  ASSERT_EQ(first.exit_code, 0) << first.err;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(workspace().root)) {
    struct stat status {};
    ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, entry.is_directory() ? 02775U : 0664U) << entry.path();
    EXPECT_EQ(status.st_gid, kGroup) << entry.path();
  }
  std::string changed = kStudy;
  changed.replace(changed.find("[10]"), 4, "[10, 3]");
  write_study(changed);
  const CommandResult second = run_as("54002");
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("8 of 8 jobs done (6 before)"));

  // What an older build or another umask has left says what to do.
  write_study(kStudy);
  ASSERT_EQ(::chown(workspace().store().c_str(), 54001, kGroup), 0);
  ASSERT_EQ(::chmod(workspace().store().c_str(), 0644), 0);
  const CommandResult refused = run_as("54002");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr(workspace().store().string() +
                              ": cannot be written by this user: "
                              "owner 54001, group 54321, mode 0644; its owner must give"),
                    HasSubstr("chmod g+w")));
  EXPECT_EQ(as("54002", {"status"}).exit_code, 0) << "looking is not writing";
}

TEST_F(StudyRunTest, AQuotaReachedIsAFullDisk) {
  const auto run_at_quota = [&](const std::filesystem::path& files, const std::string& calls) {
    return RunningCommand(command({"run", study().string(), "--data", small_drawings().string(),
                                   "--ranks", "1", "--slots", "1"}),
                          folder_ / "out",
                          {{"LD_PRELOAD", std::string(ASSAY_BINARY_DIR) + "/libfailing_disk.so"},
                           {"ASSAY_DISK_FOLDER", files.string()},
                           {"ASSAY_DISK_CALLS", calls},
                           {"ASSAY_DISK_COUNT", (folder_ / "count").string()},
                           {"ASSAY_DISK_ERROR", std::to_string(EDQUOT)},
                           {"ASSAY_DISK_FAILS_FROM", "1"}})
        .wait();
  };
  const CommandResult store = run_at_quota(workspace().store(), "write");
  EXPECT_EQ(store.exit_code, 1);
  EXPECT_THAT(store.err, ContainsRegex("store.db: the disk is full \\(Disk quota exceeded\\), "
                                       "[0-9]+ bytes are free; free some space"));
  const CommandResult shard = run_at_quota(workspace().features(), "allocate");
  EXPECT_EQ(shard.exit_code, 1);
  EXPECT_THAT(shard.err,
              ContainsRegex("h5[^ ]*: [0-9]+ bytes needed, [0-9]+ free: Disk quota exceeded"));
  EXPECT_EQ(run().exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(StudyRunTest, AReadOnlyWorkspaceCanBeLookedAtAndSaysThatItCannotBeUsed) {
  std::filesystem::create_directories(workspace().root);
  const std::string root = workspace().root.string();
  if (::mount("assay-test", root.c_str(), "tmpfs", 0, "size=64m") != 0) {
    GTEST_SKIP() << "a file system cannot be mounted here: " << std::strerror(errno);
  }
  EXPECT_EQ(run().exit_code, 0);
  const std::string before = numbers();
  EXPECT_EQ(::mount(nullptr, root.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  const CommandResult refused = run();
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(root), HasSubstr("a workspace must be writable")));
  EXPECT_EQ(numbers(), before);
  for (const char* command : {"status", "log", "plan"}) {
    std::vector<std::string> words = {command};
    if (words[0] == "plan") words.push_back(study().string());
    if (words[0] == "plan") words.insert(words.end(), {"--data", small_drawings().string()});
    if (words[0] == "log") words.push_back("--failed");
    const CommandResult looked = assay(words);
    EXPECT_EQ(looked.exit_code, 0) << command << ": " << looked.err;
  }
  EXPECT_EQ(::umount2(root.c_str(), MNT_DETACH), 0);
}

TEST_F(StudyRunTest, AStoreOfANewerBuildIsRefusedByEveryCommand) {
  ASSERT_EQ(run().exit_code, 0);
  Database(workspace().store()).execute("UPDATE schema_version SET version = 99");
  for (const CommandResult& refused :
       {run(), assay({"status"}), assay({"table", study().string()}), assay({"store", "check"})}) {
    EXPECT_NE(refused.exit_code, 0);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("store.db: schema version 99, this build of assay"),
                                   HasSubstr("use the newer build")));
  }
}

TEST_F(StudyRunTest, StatusAndLogFollowARunToItsEnd) {
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

TEST_F(StudyRunTest, FinishesThoughNobodyListens) {
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

TEST_F(StudyRunTest, AfterAKilledCoordinatorTheSameCommandGoesOn) {
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

TEST_F(StudyRunTest, AKilledRankCostsOneAttempt) {
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

TEST_F(StudyRunTest, AHungRankIsNamedEndedAndItsJobTriedAgain) {
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

TEST_F(StudyRunTest, ACancelledJobKeepsItsStateAndTheNextRunTakesItUp) {
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

TEST_F(StudyRunTest, WhatIsGoneFromAFolderIsMadeAgain) {
  ASSERT_EQ(run().exit_code, 0);
  for (const JobStatus& job : Store(workspace().store()).jobs()) {
    if (job.kind == "train")
      std::filesystem::remove(workspace().job(job.id) / "checkpoint.safetensors");
    if (job.kind == "evaluate") std::filesystem::remove(workspace().result(job.id));
  }
  const CommandResult again = run();
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("its results are no longer whole; it runs again"));
  EXPECT_EQ(attempts().count("train"), 2U);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(StudyRunTest, AnInterruptKeepsWhatIsDone) {
  const auto interrupted = start_run(2);
  static_cast<void>(ranks_that_run("train"));
  interrupted->send(SIGINT);
  const CommandResult result = interrupted->wait();
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the same command goes on"));
  EXPECT_EQ(run(2).exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(StudyRunTest, ASecondInterruptEndsAtOnceAndLeavesNobodyBehind) {
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

TEST_F(StudyRunTest, AFullDiskFailsJobsByPathAndLosesNothing) {
  std::filesystem::create_directories(workspace().root);
  const std::string root = workspace().root.string();
  if (::mount("assay-test", root.c_str(), "tmpfs", 0, "size=8m") != 0) {
    GTEST_SKIP() << "a small file system cannot be mounted here: " << std::strerror(errno);
  }
  const std::filesystem::path ballast = workspace().root / "ballast";
  const auto space = std::filesystem::space(root).available;
  std::ofstream(ballast) << std::string(space - 256 * 1024, '.');
  const CommandResult full = run();
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_THAT(full.err,
              AllOf(HasSubstr(root), AnyOf(HasSubstr("bytes needed"), HasSubstr("disk is full"))));
  std::filesystem::remove(ballast);
  EXPECT_EQ(run().exit_code, 0);
  EXPECT_EQ(numbers(), undisturbed_numbers());
  EXPECT_EQ(::umount2(root.c_str(), MNT_DETACH), 0);
}

TEST_F(StudyRunTest, FindsFinishedJobsThatNobodyRecorded) {
  ASSERT_EQ(run().exit_code, 0);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(workspace().store().string() + suffix);
  }
  const CommandResult again = run();
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(attempts(), IsEmpty());
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(StudyRunTest, NotANumberFailsItsJobAndNoOther) {
  write_study(std::string(kStudy) +
              "[[sweep]]\nmethod = \"anomalyclip\"\n"
              "grid = { \"train.lr\" = [1e30] }\n");
  const CommandResult result = run(2);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("failed: train anomalyclip:paper"), HasSubstr("step"),
                                HasSubstr("needs job"), HasSubstr("6 of 8 jobs done")));
  const CommandResult log = assay({"log", "--failed"});
  EXPECT_THAT(log.err, HasSubstr("failed"));
}

TEST_F(StudyRunTest, ATruncatedImageFailsWhatReadsItByName) {
  data_ = folder_ / "data";
  std::filesystem::copy(small_drawings(), data_, std::filesystem::copy_options::recursive);
  std::filesystem::path image;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data_ / "synth-b")) {
    const std::string path = entry.path().string();
    const bool picture = entry.path().extension() == ".JPG" || entry.path().extension() == ".png";
    if (picture && path.find("Anomaly") != std::string::npos &&
        path.find("Images") != std::string::npos) {
      image = entry.path();
    }
  }
  ASSERT_FALSE(image.empty());
  std::filesystem::resize_file(image, std::filesystem::file_size(image) / 2);
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(image.filename().string()));
  EXPECT_THAT(result.err, HasSubstr("train anomalyclip:paper train.epochs=10 seed 0 on synth-a ("));

  const std::string bad = std::filesystem::relative(image, data_ / "synth-b").string();
  write_study("skip = { synth-b = ['" + bad + "'] }\n" + kStudy);
  const CommandResult without = run();
  EXPECT_EQ(without.exit_code, 0) << without.err;
  EXPECT_THAT(assay({"table", study().string()}).out, HasSubstr(bad + " left out by 'skip'"));

  write_study(std::string("skip = { synth-b = ['no/such.png'] }\n") + kStudy);
  const CommandResult unknown = run();
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("'no/such.png', which is no image below"));
}

TEST_F(StudyRunTest, DamagedFeaturesAreMadeAgain) {
  ASSERT_EQ(run().exit_code, 0);
  std::filesystem::path shard;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(workspace().features())) {
    if (entry.path().extension() != ".h5") continue;
    shard = entry.path();
    std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(shard) / 2));
    file.write("damaged!", 8);
  }
  ASSERT_FALSE(shard.empty());
  write_study(std::string(kStudy) +
              "[[sweep]]\nmethod = \"anomalyclip\"\n"
              "grid = { \"train.epochs\" = [10], sigma = [1.0] }\n");
  EXPECT_EQ(run().exit_code, 0);
  std::string logs;
  const Store store(workspace().store());
  for (const JobStatus& job : store.jobs()) {
    for (const Attempt& attempt : store.attempts(job.id)) logs += read_file(attempt.log_path);
  }
  EXPECT_THAT(logs, HasSubstr("it is made again"));
  EXPECT_THAT(numbers(), HasSubstr("infer.sigma"));
}

TEST_F(StudyRunTest, ASecondCoordinatorIsToldToTryAgain) {
  const WorkspaceLease lease(workspace().root, "the test");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 75);
  EXPECT_THAT(result.err, AllOf(HasSubstr("held by process"), HasSubstr("the test")));
}

TEST_F(StudyRunTest, LeavesTheCallersInputAlone) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Descriptor in(ends[0]), out(ends[1]);
  ASSERT_EQ(::write(out.get(), "b.toml\n", 7), 7);
  EXPECT_EQ(start_run(2, in.get())->wait().exit_code, 0);
  char left[16] = {};
  EXPECT_EQ(::read(in.get(), left, sizeof left), 7);
}

TEST_F(StudyRunTest, WrongInputIsRefusedBeforeAnythingRuns) {
  write_study("schema = 1\nname = \"x\"\ntargets = [\"synth-b\"]\nmethd = 1\n");
  const CommandResult key = run();
  EXPECT_EQ(key.exit_code, 2);
  EXPECT_THAT(key.err, HasSubstr("study.toml:4: 'methd'"));

  write_study("schema = 1\nname = \"x\"\ntargets = [\"synth-b\"]\n[[sweep]]\nmethod = \"clip\"\n");
  const CommandResult weights = run();
  EXPECT_EQ(weights.exit_code, 2);
  EXPECT_THAT(weights.err, AllOf(HasSubstr("clip-vit-l-14-336"), HasSubstr("weights")));
  EXPECT_FALSE(std::filesystem::exists(workspace().store()));
}

TEST_F(StudyRunTest, AFileInTheWayOfTheWorkspaceIsNamed) {
  write_file_atomically(workspace().root, "a file");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr(workspace().root.string()));
}

TEST_F(StudyRunTest, AFileInTheWayOfFeaturesFailsTheJobs) {
  write_file_atomically(workspace().features(), "a file");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(workspace().features().string()));
}

TEST_F(StudyRunTest, OneJobByHandUnderMpirunIsFoundByAStudy) {
  std::vector<std::string> line = {"mpirun", "-np", "2"};
  for (const std::string& word :
       command({"train", "anomalyclip", "train.epochs=10", "--train-on", "synth-a", "--image-size",
                "64", "--data", small_drawings().string()})) {
    line.push_back(word);
  }
  const CommandResult by_hand = RunningCommand(line, folder_ / "out", mpirun_environment()).wait();
  EXPECT_EQ(by_hand.exit_code, 0) << by_hand.err;
  EXPECT_EQ(run().exit_code, 0);
  EXPECT_EQ(attempts().count("train"), 0U);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(StudyRunTest, AMissingWorkerProgramIsNamedBeforeAnythingRuns) {
  std::filesystem::copy_file(std::string(ASSAY_BINARY_DIR) + "/assay", folder_ / "assay");
  const CommandResult result =
      RunningCommand({folder_ / "assay", "run", study(), "-w", workspace().root}, folder_ / "out")
          .wait();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr((folder_ / "assay-worker").string() + ": cannot be executed"));
  EXPECT_FALSE(std::filesystem::exists(workspace().root));
}

TEST_F(StudyRunTest, AWordThatIsNoCommandIsNamed) {
  const CommandResult result = assay({"tabel"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("'tabel'"), HasSubstr("did you mean 'table'?")));
}

TEST_F(StudyRunTest, WeightsAreCheckedAgainstTheirBackbone) {
  const auto backbone = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {std::string(ASSAY_BINARY_DIR) + "/assay", "backbone"});
    return RunningCommand(arguments, folder_ / "out").wait();
  };
  const CommandResult tiny = backbone({"check", "assay-tiny"});
  EXPECT_EQ(tiny.exit_code, 0) << tiny.err;
  EXPECT_THAT(tiny.out, AllOf(HasSubstr("8 blocks of width 128"), HasSubstr("SHA-256")));

  const std::string weights = folder_ / "weights";
  const CommandResult none = backbone({"check", "clip-vit-b-16", "--weights", weights});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr(weights + "/clip-vit-b-16.safetensors"));

  const std::string file =
      std::string(ASSAY_SOURCE_DIR) + "/registry/assay-tiny/assay-tiny.safetensors";
  const CommandResult other = backbone({"import", "clip-vit-b-16", file, "--weights", weights});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("vision width 128, backbone 'clip-vit-b-16' has 768"));
  EXPECT_TRUE(std::filesystem::is_empty(weights));
}

}  // namespace
}  // namespace assay
