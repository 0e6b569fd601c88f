// Every write, fsync and rename of the store and of job results fails once, each in its turn.

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "results/store.h"
#include "runner/job_run.h"
#include "runner/workspace.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

class DiskFaultTest : public ::testing::TestWithParam<const char*> {
 protected:
  DiskFaultTest() { std::filesystem::create_directories(out()); }

  [[nodiscard]] Workspace workspace() const { return {folder_ / "w"}; }
  [[nodiscard]] std::filesystem::path out() const { return folder_ / "out"; }
  [[nodiscard]] std::filesystem::path count() const { return folder_ / "count"; }

  [[nodiscard]] CommandResult run(std::map<std::string, std::string> environment = {}) const {
    const std::string binaries = ASSAY_BINARY_DIR;
    if (!environment.empty()) {
      std::filesystem::remove(count());
      environment["LD_PRELOAD"] = binaries + "/libfailing_disk.so";
      environment["ASSAY_DISK_COUNT"] = count().string();
      environment["ASSAY_DISK_FOLDER"] = workspace().root.string();
      environment["ASSAY_DISK_CALLS"] = GetParam();
    }
    return RunningCommand({binaries + "/disk_fault_scenario", workspace().root.string()}, out(),
                          environment)
        .wait();
  }

  /// Whatever has a final name is whole.
  void expect_nothing_half_written() const {
    std::error_code missing;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(workspace().root, missing)) {
      const std::filesystem::path& path = entry.path();
      if (path.filename() == kRunFiles[0]) continue;  // Whoever reads it compares its digest.
      if (path.extension() == ".json") {
        EXPECT_TRUE(nlohmann::json::accept(read_file(path))) << path;
      }
      if (path.filename() == "checkpoint.safetensors") {
        EXPECT_EQ(entry.file_size(), 100000U) << path;
      }
      EXPECT_NE(path.extension(), ".partial") << path;
    }
  }

  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Calls, DiskFaultTest, ::testing::Values("write", "fsync", "rename"));

TEST_P(DiskFaultTest, EachFailureIsNamedLeavesNothingHalfWrittenAndTheSameCommandGoesOn) {
  ASSERT_EQ(run({{"ASSAY_DISK_FAILS_FROM", ""}}).exit_code, 0);
  const auto calls = static_cast<long>(std::filesystem::file_size(count()));
  ASSERT_GE(calls, 5);
  int failed = 0;
  for (long call = 1; call <= calls; ++call) {
    SCOPED_TRACE(fmt::format("{} {} of {}", GetParam(), call, calls));
    std::filesystem::remove_all(workspace().root);
    const CommandResult full = run({{"ASSAY_DISK_FAILS_FROM", std::to_string(call)}});
    if (full.exit_code == 0) {  // It came when all was done: the database's own tidying up.
      EXPECT_EQ(Store(workspace().store()).done_jobs().size(), 2U);
      continue;
    }
    ASSERT_EQ(full.exit_code, 1) << full.err;
    EXPECT_THAT(full.err, HasSubstr(workspace().root.string()));
    if (full.err.find("store.db") == std::string::npos) {
      EXPECT_THAT(full.err, AnyOf(HasSubstr("bytes needed"), HasSubstr("cannot be made durable")));
    }
    ++failed;
    expect_nothing_half_written();

    const CommandResult resumed = run();
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    expect_nothing_half_written();
    const Store store(workspace().store());
    ASSERT_EQ(store.done_jobs().size(), 2U);
    for (const std::string& id : store.done_jobs()) {
      const auto result = read_result(workspace(), id);
      ASSERT_TRUE(result.has_value());
      EXPECT_EQ(result_problem(workspace(), *result, true), "");
      EXPECT_EQ(store.result(id), *result);
    }
  }
  fmt::print("{} failing {} calls\n", failed, GetParam());
}

}  // namespace
}  // namespace assay
