#include "runner/progress.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Progress, SaysWhatRunsHowFarItIsAndWhenAllEnds) {
  RunState state{.total = 40,
                 .done = 12,
                 .failed = 1,
                 .remaining_seconds = 180,
                 .running = {},
                 .progress = {}};
  state.running[0] = "train faprompt:paper seed 0 on synth-a";
  state.progress[0] = {
      {"done", 30}, {"total", 60}, {"unit", "step"}, {"loss", 2.5}, {"rate", 16.5}};
  EXPECT_THAT(describe(state),
              StartsWith("[12/40] 1 failed train faprompt:paper seed 0 on synth-a: step 30/60, "
                         "loss 2.5, 16.5/s; ends about "));
  EXPECT_THAT(describe(state), HasSubstr("(3 min)"));
}

TEST(Progress, ShowsEachGangInALineOfItsOwn) {
  RunState state{
      .total = 40, .done = 12, .failed = 1, .remaining_seconds = {}, .running = {}, .progress = {}};
  state.running = {{0, "train a"}, {2, "encode b"}};
  state.progress[0] = {{"done", 30}, {"total", 60}, {"unit", "step"}};
  EXPECT_THAT(live_lines(state),
              ElementsAre("[12/40] 1 failed, 2 running, 25 waiting",
                          "  gang 0: step 30/60; train a", "  gang 2: encode b"));
}

TEST(Progress, ALabelGivesWayToStepLossRateAndEnd) {
  RunState state{.total = 1200,
                 .done = 812,
                 .failed = 11,
                 .remaining_seconds = 180,
                 .running = {},
                 .progress = {}};
  state.running[0] =
      "train faprompt:paper cap.K=15 dap.E=10 train.epochs=15 seed 4 on clinicdb+mvtec (test, 518)";
  state.progress[0] = {
      {"done", 1830}, {"total", 12400}, {"unit", "step"}, {"loss", 0.0312}, {"rate", 16.5}};
  const auto characters = [](const std::string& text) {
    return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
  };
  for (const std::size_t columns : {60U, 80U, 120U}) {
    SCOPED_TRACE(columns);
    const std::vector<std::string> lines = live_lines(state, columns);
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_THAT(lines[0], StartsWith("[812/1200] 11 failed, ends about "));
    EXPECT_THAT(lines[0], HasSubstr("(3 min)"));
    EXPECT_THAT(lines[1], StartsWith("  gang 0: step 1830/12400, loss 0.0312, 16.5/s; train"));
    EXPECT_THAT(lines[1], AllOf(HasSubstr("…"), EndsWith("518)")));
    EXPECT_LE(characters(lines[0]), static_cast<std::ptrdiff_t>(columns));
    EXPECT_EQ(characters(lines[1]), static_cast<std::ptrdiff_t>(columns));
  }
  EXPECT_THAT(live_lines(state)[1], EndsWith("; " + state.running[0])) << "without a width, all";
  for (const std::string& line : live_lines(state, 5)) EXPECT_LE(characters(line), 5);
}

TEST(Progress, ARunThatStopsHasNoEndAndLeavesWhatWaits) {
  RunState state{
      .total = 40, .done = 12, .failed = 0, .remaining_seconds = 0, .running = {}, .progress = {}};
  state.stopping = true;
  EXPECT_THAT(live_lines(state),
              ElementsAre("[12/40] stopping, 0 running, 28 left for the next run"));
  EXPECT_EQ(describe(state), "[12/40]; stopping");
  EXPECT_TRUE(run_state_from_json(to_json(state)).stopping);
}

TEST(Progress, TravelsToStatusAsJson) {
  RunState state{.total = 40,
                 .done = 12,
                 .failed = 1,
                 .remaining_seconds = 180,
                 .running = {},
                 .progress = {}};
  state.running[1] = "train a";
  state.progress[1] = {{"done", 30}, {"total", 60}};
  const RunState read = run_state_from_json(nlohmann::json::parse(to_json(state).dump()));
  EXPECT_EQ(describe(read), describe(state));
  EXPECT_EQ(run_state_from_json({{"total", "many"}}).total, 0U);
}

TEST(Progress, SaysNothingOfAnEndThatIsNotKnown) {
  EXPECT_EQ(describe(RunState{.total = 3, .remaining_seconds = {}, .running = {}, .progress = {}}),
            "[0/3]");
}

TEST(Progress, WritesDurationsInTheUnitThatFits) {
  EXPECT_EQ(duration_text(45.2), "45 s");
  EXPECT_EQ(duration_text(720), "12 min");
  EXPECT_EQ(duration_text(3.4 * 3600), "3.4 h");
}

}  // namespace
}  // namespace assay
