#include "core/error.h"
#include "tools/bench/report.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

// A run of Google Benchmark in milliseconds of CPU time, wall time ten times as long.
nlohmann::json run_of(const std::string& name,
                      double milliseconds,
                      const nlohmann::json& counters = {}) {
  nlohmann::json run = {{"run_name", name + "/iterations:1/repeats:5/process_time"},
                        {"run_type", "iteration"},
                        {"cpu_time", milliseconds},
                        {"real_time", 10 * milliseconds},
                        {"time_unit", "ms"}};
  run.update(counters.is_null() ? nlohmann::json::object() : counters);
  return run;
}

Measurements measured(const std::vector<nlohmann::json>& runs) {
  Measurements measurements;
  add_measurements({{"benchmarks", runs}}, "runs.json", measurements);
  return measurements;
}

// A result with one figure, `cflow200`, at `rate` Mpx/s and `literal` times the literal one.
nlohmann::json result_of(double rate, std::optional<double> literal, double noise = 0) {
  return bench_result({}, {},
                      {{.name = "cflow200",
                        .what = "",
                        .unit = "Mpx/s",
                        .value = rate,
                        .higher_is_better = true,
                        .goal = 200,
                        .noise = noise,
                        .counted = "px",
                        .ns = {},
                        .literal = literal}});
}

TEST(BenchReport, TakesTheFastestRepetition) {
  const auto figures = figures_of(measured({run_of("cflow200/one", 5, {{"units", 1e6}}),
                                            run_of("cflow200/one", 4, {{"units", 1e6}}),
                                            run_of("cflow200/one", 8, {{"units", 1e6}})}));
  ASSERT_EQ(figures.size(), 1);
  EXPECT_DOUBLE_EQ(figures[0].value, 250);
  EXPECT_DOUBLE_EQ(figures[0].noise, 0.25);  // Median 5 ms over 4 ms.
  EXPECT_EQ(figures[0].met(), true);
}

TEST(BenchReport, TakesTheWallTimeOfSeveralThreads) {
  const auto figures = figures_of(
      measured({run_of("exact/one", 10, {{"units", 1e6}, {"threads", 1.0}}),
                run_of("exact_two_threads/one", 0.8, {{"units", 1e6}, {"threads", 2.0}})}));
  ASSERT_EQ(figures.size(), 2);
  EXPECT_EQ(figures[1].name, "exact_two_threads");
  EXPECT_DOUBLE_EQ(figures[1].value, 10 / 8.0);
  EXPECT_EQ(figures[1].met(), false);
}

TEST(BenchReport, MeasuresEachRepetitionAgainstTheLimitBesideIt) {
  std::vector<nlohmann::json> runs = {
      run_of("faprompt_step_one_thread/one", 30, {{"limit_seconds", 0.02}})};
  // Wall times of 12 to 19 ms; the limit was 10 ms, but 12 for the slowest.
  for (const double milliseconds : {1.3, 1.2, 1.9, 1.5}) {
    runs.push_back(
        run_of("faprompt_step/one", milliseconds,
               {{"limit_seconds", milliseconds > 1.6 ? 0.012 : 0.01}, {"threads", 2.0}}));
  }
  const auto figures = figures_of(measured(runs));
  ASSERT_EQ(figures.size(), 2);
  EXPECT_DOUBLE_EQ(figures[0].value, 1.3) << "a quarter of them is faster";
  EXPECT_EQ(figures[0].met(), true);
  EXPECT_DOUBLE_EQ(figures[1].value, 1.5);
}

TEST(BenchReport, ComparesALiteralComputationByTheUnit) {
  const auto figures = figures_of(
      measured({run_of("map/one", 5, {{"units", 10.0}}), run_of("map/four", 40, {{"units", 40.0}}),
                run_of("map/literal", 100, {{"units", 2.0}})}));
  ASSERT_EQ(figures.size(), 1);
  EXPECT_DOUBLE_EQ(figures[0].value, 0.5);
  EXPECT_DOUBLE_EQ(figures[0].literal.value(), 100);
  EXPECT_DOUBLE_EQ(figures[0].ns.at("four"), 1e6);
}

TEST(BenchReport, NamesABenchThatFailed) {
  EXPECT_THAT(
      [] {
        static_cast<void>(measured(
            {run_of("map/one", 1, {{"error_occurred", true}, {"error_message", "no memory"}})}));
      },
      ThrowsMessage<DataError>("runs.json: bench 'map/one' failed: no memory"));
}

TEST(BenchReport, PrintsWhetherGoalsAreMet) {
  EXPECT_THAT(bench_table(result_of(250, 500)), HasSubstr("250 Mpx/s   >= 200 met"));
  EXPECT_THAT(bench_table(result_of(150, 500)), HasSubstr("150 Mpx/s   >= 200 missed"));
}

TEST(BenchReport, ComparesByTheRatioToTheLiteralComputationWhereThereIsOne) {
  EXPECT_THAT(compare_results(result_of(250, 500), result_of(125, 500)).worse, IsEmpty());
  EXPECT_THAT(compare_results(result_of(250, 500), result_of(250, 400)).worse,
              ElementsAre("cflow200"));
  EXPECT_THAT(compare_results(result_of(250, {}), result_of(125, 500)).worse,
              ElementsAre("cflow200"));
}

TEST(BenchReport, CallsNothingWorseThatNoiseExplains) {
  EXPECT_THAT(compare_results(result_of(250, {}), result_of(242, {})).worse, IsEmpty());
  EXPECT_THAT(compare_results(result_of(250, {}), result_of(200, {})).worse,
              ElementsAre("cflow200"));
  EXPECT_THAT(compare_results(result_of(250, {}, 0.2), result_of(200, {}, 0.1)).worse, IsEmpty());
}

TEST(BenchReport, RefusesAFileThatIsNoResult) {
  EXPECT_THAT(
      [] {
        static_cast<void>(compare_results({{"a", 1}}, result_of(1, 1)));
      },
      ThrowsMessage<DataError>(HasSubstr("the old file: not a result of this version")));
}

}  // namespace
}  // namespace assay
