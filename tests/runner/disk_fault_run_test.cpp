// Whole studies with the real programs on a disk that fails (`tests/support/failing_disk.cpp`): a
// write, fsync, rename, ... of the coordinator, of a worker or of both.
//
// ASSAY_DISK_FAULTS=N fails N calls of each kind, spread over the run; 0: every one.

#include "core/file.h"
#include "datasets/synth.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>

namespace assay {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

const std::string kAssay = std::string(ASSAY_BINARY_DIR) + "/assay";
const std::string kAll = "write,fsync,rename,link,truncate,allocate,create";
constexpr int kNoSpace = 28, kQuota = 122, kInputOutput = 5;

struct DiskFault {
  std::string name, program, calls;
  int error;
  long most = 1;       ///< Calls that fail, each in a run of its own, where nobody asks for more.
  bool lasts = false;  ///< From that call on, not that one alone.
};

/// A study of four jobs, some seconds in all, and disks that fail below its workspace.
class StudyOnFailingDisk {
 public:
  StudyOnFailingDisk() {
    const SynthOptions few{
        .image_size = 64, .train_normal = 1, .test_normal = 2, .test_anomalous = 2, .seed = 3};
    for (const std::string& name : synth_names()) write_synth(name, study_ / "data" / name, few);
    write_file_atomically(study_ / "study.toml",
                          "schema = 1\nname = 'tiny'\nbackbone = 'assay-tiny'\nimage_size = 64\n"
                          "train_on = 'synth-a'\ntargets = ['synth-b']\n[[sweep]]\n"
                          "method = 'anomalyclip'\ngrid = { 'train.epochs' = [1] }\n");
  }

  [[nodiscard]] CommandResult run(
      const std::map<std::string, std::string>& environment = {}) const {
    return study_
        .start({kAssay, "run", study_ / "study.toml", "--data", study_ / "data", "-w",
                root().string(), "--ranks", "1", "--slots", "1"},
               environment)
        ->wait();
  }
  /// In a fresh workspace; call `first` fails; 0: it counts.
  [[nodiscard]] CommandResult run_with(const DiskFault& fault, long first) const {
    std::filesystem::remove_all(root());
    std::filesystem::remove(count());
    return run({{"LD_PRELOAD", std::string(ASSAY_BINARY_DIR) + "/libfailing_disk.so"},
                {"ASSAY_DISK_FOLDER", root().string()},
                {"ASSAY_DISK_CALLS", fault.calls},
                {"ASSAY_DISK_PROGRAM", fault.program},
                {"ASSAY_DISK_COUNT", count().string()},
                {"ASSAY_DISK_ERROR", std::to_string(fault.error)},
                {"ASSAY_DISK_FAILS_FROM", first > 0 ? std::to_string(first) : ""},
                {"ASSAY_DISK_FAILS_UNTIL", fault.lasts ? "" : std::to_string(first)}});
  }
  [[nodiscard]] CommandResult store_check() const {
    return study_.start({kAssay, "store", "check", "-w", root().string()})->wait();
  }
  [[nodiscard]] std::vector<std::optional<double>> numbers() const { return study_.numbers(); }
  [[nodiscard]] std::filesystem::path root() const { return study_.workspace().root; }
  [[nodiscard]] std::filesystem::path count() const { return study_ / "count"; }

 private:
  TinyStudy study_;
};

/// What a study does that nobody disturbs.
struct Undisturbed {
  std::vector<std::optional<double>> numbers;
  std::map<std::string, std::string> calls;  ///< Initials of their kinds, by program.

  [[nodiscard]] long count(const DiskFault& fault) const {
    long sum = 0;
    for (const auto& [program, made] : calls) {
      if (!fault.program.empty() && program != fault.program) continue;
      std::istringstream kinds(fault.calls);
      for (std::string kind; std::getline(kinds, kind, ',');) {
        sum += std::ranges::count(made, kind.front());
      }
    }
    return sum;
  }
};

class DiskFaultRunTest : public ::testing::TestWithParam<DiskFault> {
 protected:
  static const Undisturbed& undisturbed() {
    static const Undisturbed found = [] {
      const StudyOnFailingDisk study;
      Undisturbed result;
      for (const std::string program : {"assay", "assay-worker"}) {
        EXPECT_EQ(study.run_with({"", program, kAll, 0}, 0).exit_code, 0);
        result.calls[program] = read_file(study.count());
        result.numbers = study.numbers();
      }
      return result;
    }();
    return found;
  }

  /// What people are told: which file, and why; SQLite has words of its own.
  void expect_named(const CommandResult& result) const {
    EXPECT_THAT(result.err, HasSubstr(study_.root().string()));
    EXPECT_THAT(result.err,
                AnyOf(HasSubstr(::strerror(GetParam().error)), HasSubstr("store.db: ")));
  }

  StudyOnFailingDisk study_;
};

TEST_P(DiskFaultRunTest, EndsWithAReasonAndTheSameCommandGoesOnToTheSameNumbers) {
  const long calls = undisturbed().count(GetParam());
  ASSERT_GT(calls, 0);
  const char* asked = std::getenv("ASSAY_DISK_FAULTS");
  const long most = asked != nullptr ? std::atol(asked) : GetParam().most;
  const long stride = most > 0 ? std::max(calls / most, 1L) : 1;
  int tried = 0, ended_badly = 0;
  for (long call = 1 + stride / 2; call <= calls; call += stride) {
    SCOPED_TRACE(fmt::format("{} call {} of {}", GetParam().name, call, calls));
    const CommandResult failed = study_.run_with(GetParam(), call);
    ++tried;
    if (failed.exit_code != 0) {
      ++ended_badly;
      ASSERT_THAT(failed.exit_code, AnyOf(1, 2)) << failed.err;
      expect_named(failed);
    }
    const CommandResult resumed = study_.run();
    ASSERT_EQ(resumed.exit_code, 0) << failed.err << "then\n" << resumed.err;
    EXPECT_EQ(study_.numbers(), undisturbed().numbers) << failed.err;
    const CommandResult checked = study_.store_check();
    EXPECT_EQ(checked.exit_code, 0) << failed.err << checked.out << checked.err;
  }
  fmt::print("{} of {} calls failed, {} of the runs with them\n", tried, calls, ended_badly);
}

INSTANTIATE_TEST_SUITE_P(
    Calls,
    DiskFaultRunTest,
    ::testing::Values(DiskFault{"CoordinatorWrite", "assay", "write", kNoSpace, 2},
                      DiskFault{"CoordinatorFsync", "assay", "fsync", kInputOutput, 2},
                      DiskFault{"CoordinatorRename", "assay", "rename", kQuota},
                      DiskFault{"CoordinatorTruncate", "assay", "truncate", kInputOutput},
                      DiskFault{"CoordinatorCreate", "assay", "create", kNoSpace},
                      DiskFault{"WorkerWrite", "assay-worker", "write", kInputOutput, 2},
                      DiskFault{"WorkerFsync", "assay-worker", "fsync", kInputOutput},
                      DiskFault{"WorkerRename", "assay-worker", "rename", kNoSpace, 2},
                      DiskFault{"WorkerLinkAndAllocate", "assay-worker", "link,allocate", kQuota},
                      DiskFault{"WorkerCreate", "assay-worker", "create", kQuota},
                      DiskFault{"FullForAll", "", "write,truncate,allocate,create,link", kNoSpace,
                                2, true}),
    [](const auto& fault) { return fault.param.name; });

}  // namespace
}  // namespace assay
