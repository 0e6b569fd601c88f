// Ranks that hang in earnest: real processes under the coordinator of production, by mpirun.

#include "runner/coordinator.h"
#include "runner/real_world.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <cstdio>

namespace assay {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;

constexpr double kLimitSeconds = 3;

class HangRunTest : public ::testing::Test {
 protected:
  /// Runs a job on two ranks that does `act`; what was said about it.
  std::vector<std::string> run(const std::string& act) {
    const std::string id(64, 'a');
    const nlohmann::json spec = {{"act", act}};
    Store store(workspace_.store());
    store.record_study(
        {"study", "", ""},
        {{.id = id, .kind = "train", .spec = spec.dump(), .dependencies = {}, .cost_class = "c"}},
        {});
    Interrupts interrupts;
    const std::string said = folder_ / "said";
    {
      const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(said.c_str(), "w"),
                                                                 &std::fclose);
      ProgressView view(file.get(), /*quiet=*/false);
      const auto describe = [&](const std::string& job) {
        return JobRun{.id = job,
                      .spec = spec,
                      .hints = nlohmann::json::object(),
                      .workspace = workspace_.root,
                      .weights = {},
                      .merges = {},
                      .data = {}};
      };
      RealWorld world({.workspace = workspace_,
                       .worker = std::filesystem::path(ASSAY_BINARY_DIR) / "gang_test_worker",
                       .launcher = {},
                       .pool = {},
                       .results = list_results(workspace_)},
                      describe, store, interrupts, view, [](const RunState&) {});
      const CoordinatorOptions options{.scheduler = {.slots = {Slot{}, Slot{}}, .ranks = 2},
                                       .hang_timeout_seconds = kLimitSeconds};
      const auto label = [](const std::string&) { return "a job"; };
      const double begun = world.now();
      report_ =
          Coordinator({{.schedule = {.id = id}, .cost_class = "c"}}, label, options, world).run();
      EXPECT_LT(world.now() - begun, kLimitSeconds + 30);
      world.save();
    }
    for (const Attempt& attempt : store.attempts(id)) outcomes_.push_back(attempt.outcome);
    std::vector<std::string> lines;
    std::istringstream text(read_file(said));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }

  void expect_tried_again() const {
    EXPECT_EQ(report_.done, 1U);
    EXPECT_THAT(outcomes_, ElementsAre("timeout", "done"));
  }

  TemporaryFolder folder_;
  Workspace workspace_{folder_ / "w"};
  RunReport report_;
  std::vector<std::string> outcomes_;
};

TEST_F(HangRunTest, ARankThatComputesForEverIsNamedEndedAndItsJobTriedAgain) {
  EXPECT_THAT(run("spin"),
              Contains(MatchesRegex("a job: hung for [3-6] s: job aaaaaaaa, rank 1 on [^ ]+ "
                                    "\\(process [0-9]+\\): computing, operation 0; trying again")));
  expect_tried_again();
}

TEST_F(HangRunTest, ACollectiveThatOnlySomeRanksEnterIsNamedWithTheCallOfEach) {
  EXPECT_THAT(run("part"),
              Contains(MatchesRegex("a job: hung for [3-6] s: job aaaaaaaa, rank 0 on [^ ]+ "
                                    "\\(process [0-9]+\\): all_gather, operation 1; rank 1 on [^ "
                                    "]+ \\(process [0-9]+\\): barrier, operation 1; "
                                    "trying again")));
  expect_tried_again();
}

}  // namespace
}  // namespace assay
