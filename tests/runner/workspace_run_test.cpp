// What the workspace of a run lives through: full and read-only disks, other people, damaged and
// missing files.

#include "runner/lease.h"
#include "tests/runner/study_run.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WorkspaceRunTest : public StudyRunTest {};

TEST_F(WorkspaceRunTest, TheStoreIsMadeAgainFromTheJobFoldersAsItWas) {
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

TEST_F(WorkspaceRunTest, AMemberOfTheGroupGoesOnInTheWorkspaceOfAnother) {
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

TEST_F(WorkspaceRunTest, AQuotaReachedIsAFullDisk) {
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

TEST_F(WorkspaceRunTest, AReadOnlyWorkspaceCanBeLookedAtAndSaysThatItCannotBeUsed) {
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

TEST_F(WorkspaceRunTest, AStoreOfANewerBuildIsRefusedByEveryCommand) {
  ASSERT_EQ(run().exit_code, 0);
  Database(workspace().store()).execute("UPDATE schema_version SET version = 99");
  for (const CommandResult& refused :
       {run(), assay({"status"}), assay({"table", study().string()}), assay({"store", "check"})}) {
    EXPECT_NE(refused.exit_code, 0);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("store.db: schema version 99, this build of assay"),
                                   HasSubstr("use the newer build")));
  }
}

TEST_F(WorkspaceRunTest, WhatIsGoneFromAFolderIsMadeAgain) {
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

TEST_F(WorkspaceRunTest, AFullDiskFailsJobsByPathAndLosesNothing) {
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

TEST_F(WorkspaceRunTest, FindsFinishedJobsThatNobodyRecorded) {
  ASSERT_EQ(run().exit_code, 0);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(workspace().store().string() + suffix);
  }
  const CommandResult again = run();
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(attempts(), IsEmpty());
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(WorkspaceRunTest, DamagedFeaturesAreMadeAgain) {
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

TEST_F(WorkspaceRunTest, ASecondCoordinatorIsToldToTryAgain) {
  const WorkspaceLease lease(workspace().root, "the test");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 75);
  EXPECT_THAT(result.err, AllOf(HasSubstr("held by process"), HasSubstr("the test")));
}

TEST_F(WorkspaceRunTest, AFileInTheWayOfTheWorkspaceIsNamed) {
  write_file_atomically(workspace().root, "a file");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr(workspace().root.string()));
}

TEST_F(WorkspaceRunTest, AFileInTheWayOfFeaturesFailsTheJobs) {
  write_file_atomically(workspace().features(), "a file");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(workspace().features().string()));
}

}  // namespace
}  // namespace assay
