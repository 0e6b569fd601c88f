#pragma once

#include "core/file.h"
#include "results/store.h"
#include "runner/process.h"
#include "runner/workspace.h"
#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>

namespace assay {

inline constexpr const char* kStudy = R"(
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

/// Whole studies with the real programs: data on disk, mpirun, store, table.
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

inline const std::string& StudyRunTest::undisturbed_numbers() {
  static const std::string numbers = UndisturbedRun().numbers_of_a_run();
  return numbers;
}

}  // namespace assay
