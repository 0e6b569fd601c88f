#include "runner/progress.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::ElementsAre;
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
              ElementsAre("[12/40] 2 running, 25 waiting, 1 failed",
                          "  gang 0: train a: step 30/60", "  gang 2: encode b"));
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
