#include "results/cost_table.h"

#include "core/csv.h"
#include "core/error.h"

#include <gmock/gmock.h>

#include <sstream>

namespace assay {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

CostRecord record(const std::string& method,
                  const std::string& phase,
                  const std::string& form,
                  const json& figures,
                  int batch = 8) {
  const json spec = {{"method", method},
                     {"phase", phase},
                     {"form", form},
                     {"batch", batch},
                     {"steps", 3},
                     {"warmup", 1},
                     {"device", "cpu"},
                     {"host", "node_7"},
                     {"build", "assay 0.1.0"},
                     {"part", {{"dataset", "visa"}}},
                     {"encoder", {{"features", {{"image_size", 518}, {"backbone", "clip"}}}}}};
  return {spec, {{"preset", "paper"}, {"threads", 1}, {"figures", figures}}};
}

CostTable table() {
  return make_cost_table(
      "k", {record("faprompt", "train", "literal",
                   {{"train_ms_per_batch", 1354.14}, {"train_ms_per_batch_deviation", 1.7}}),
            record("faprompt", "train", "cached",
                   {{"train_ms_per_batch", 20.5}, {"params_trained", 43008}, {"peak_gb", 0.25}}),
            record("faprompt", "train", "cached", {{"train_ms_per_batch", 80.25}}, 32),
            record("faprompt", "infer", "cached", {{"infer_ms_per_image", 4}, {"fps", 250}}, 1),
            record("clip", "train", "cached", {{"train_ms_per_batch", 0}})});
}

/// Cells of a Markdown row.
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> all;
  std::istringstream text(line.substr(2));
  for (std::string cell; std::getline(text, cell, '|');) {
    cell.erase(cell.find_last_not_of(' ') + 1);
    cell.erase(0, cell.find_first_not_of(' '));
    if (!cell.empty()) all.push_back(cell);
  }
  return all;
}

TEST(CostTable, HasARowForEachMethodAndFormAndAColumnForEachFigureAndBatch) {
  std::istringstream text(to_markdown(table()));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("| ")) rows.push_back(cells(line));
  }
  EXPECT_THAT(
      rows, ElementsAre(
                ElementsAre("method", "form", "trained", "train ms/batch of 8",
                            "train ms/batch of 32", "infer ms/image", "images/s", "train peak GB"),
                ElementsAre("faprompt:paper", "literal", "-", "1354.14 ± 1.70", "-", "-", "-", "-"),
                ElementsAre("faprompt:paper", "cached", "43008", "20.50", "80.25", "4.00", "250.0",
                            "0.250"),
                ElementsAre("clip:paper", "cached", "-", "0.00", "-", "-", "-", "-")));
}

TEST(CostTable, NamesTheMachineAndTheImages) {
  for (const std::string& text : {to_markdown(table()), to_terminal(table())}) {
    EXPECT_THAT(text, AllOf(HasSubstr("k: cost on cpu, 1 thread, host node_7; assay 0.1.0"),
                            HasSubstr("first images of visa, 518 px, clip"),
                            HasSubstr("the weights not included")));
  }
  EXPECT_THAT(to_latex(table()),
              AllOf(HasSubstr("host node\\_7"), HasSubstr("1354.14 $\\pm$ 1.70"),
                    HasSubstr("\\begin{tabular}{llrrrrrr}"), Not(HasSubstr("±"))));
}

TEST(CostTable, IsEmptyWhereNothingWasMeasured) {
  const CostTable none = make_cost_table("k", {});
  EXPECT_THAT(to_terminal(none) + to_markdown(none) + to_latex(none) + csv_lines(none), IsEmpty());
  EXPECT_THAT(to_json(none), IsEmpty());
}

TEST(CostTable, KeepsEveryDigitForMachines) {
  const auto lines = parse_csv(
      "study,method,preset,params,published_in,dataset,level,metric,eval_size,mean,deviation,"
      "num_seeds,num_datasets,overlap,undefined_because,printed_percent,epoch\n" +
          csv_lines(table()),
      "table.csv");
  ASSERT_THAT(lines, SizeIs(8));
  EXPECT_EQ(lines[0].at("level"), "cost");
  EXPECT_EQ(lines[0].at("metric"), "train_ms_per_batch");
  EXPECT_EQ(lines[0].at("mean"), "1354.14");
  EXPECT_EQ(lines[0].at("deviation"), "1.7");
  EXPECT_EQ(lines[0].at("dataset"), "visa");
  EXPECT_EQ(json::parse(lines[0].at("params")), (json{{"phase", "train"},
                                                      {"form", "literal"},
                                                      {"batch", 8},
                                                      {"device", "cpu"},
                                                      {"host", "node_7"}}));
  const json all = to_json(table());
  ASSERT_THAT(all, SizeIs(5));
  EXPECT_EQ(all[0]["figures"]["train_ms_per_batch"], 1354.14);
  EXPECT_EQ(all[0]["host"], "node_7");
}

TEST(CostTable, SaysWhichResultCannotBeRead) {
  CostRecord damaged = record("clip", "infer", "cached", {{"fps", 1}});
  damaged.result.erase("figures");
  EXPECT_THAT([&] { (void)make_cost_table("k", {damaged}); },
              ThrowsMessage<StoreError>(HasSubstr("a result of a profile job cannot be read")));
}

}  // namespace
}  // namespace assay
