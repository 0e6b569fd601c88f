#include "results/table.h"

#include "core/csv.h"
#include "core/error.h"
#include "results/render.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

/// A study's cells and numbers, put together row by row.
struct Results {
  std::vector<StudyCell> cells;
  std::vector<MetricValue> values;

  StudyCell& cell(const std::string& method,
                  std::optional<std::int64_t> seed,
                  const std::string& dataset) {
    StudyCell& added = cells.emplace_back();
    added.job = "job" + std::to_string(cells.size());
    added.method = method;
    added.preset = "paper";
    added.seed = seed;
    added.dataset = dataset;
    added.eval_size = 128;
    return added;
  }
  /// A number of the cell added last.
  Results& number(std::optional<double> value,
                  const std::string& level = "image",
                  const std::string& metric = "auroc",
                  const std::string& category = "mean") {
    MetricValue& added = values.emplace_back();
    added.position = static_cast<std::int64_t>(cells.size()) - 1;
    added.row.dataset = cells.back().dataset;
    added.row.category = category;
    added.row.level = level;
    added.row.metric = metric;
    added.row.value = value;
    if (!value) added.row.undefined_because = "no_masks";
    return *this;
  }
  Results& add(const std::string& method,
               std::optional<std::int64_t> seed,
               double value,
               const std::string& dataset = "visa") {
    cell(method, seed, dataset);
    return number(value);
  }
  Table table(TableOptions options = {.metrics = {{"image", "auroc"}}}) const {
    return make_table("demo", cells, values, options);
  }
};

const TableCell& at(const Table& table, std::size_t row, std::size_t column = 0) {
  return table.rows.at(row).cells.at(column);
}

TEST(Table, GivesMeanAndSampleDeviationOverSeeds) {
  Results r;
  r.add("faprompt", 0, 0.80).add("faprompt", 1, 0.82).add("faprompt", 2, 0.87);
  const Table table = r.table();
  ASSERT_THAT(table.rows, SizeIs(1));
  EXPECT_DOUBLE_EQ(*at(table, 0).mean, 0.83);
  EXPECT_NEAR(*at(table, 0).deviation, std::sqrt((0.0009 + 0.0001 + 0.0016) / 2), 1e-12);
  EXPECT_THAT(to_markdown(table), HasSubstr("| 83.0 ± 3.6 |"));
}

// cases.md B04.
TEST(Table, OneSeedHasNoSpreadAndSaysSo) {
  Results r;
  r.add("one", 0, 0.80).add("two", 0, 0.82).add("two", 1, 0.84).add("untrained", {}, 0.7);
  const Table table = r.table();
  EXPECT_EQ(at(table, 0).deviation, std::nullopt);
  const std::string text = to_markdown(table);
  EXPECT_THAT(text, HasSubstr("80.0 (n = 1)"));
  EXPECT_THAT(text, HasSubstr("| 70.0 |"));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("± 0.0"))));
  EXPECT_EQ(to_json(table)["rows"][0]["cells"][0]["deviation"], nullptr);
}

// cases.md B03.
TEST(Table, TheMeanOverDataSetsWeighsSetsNotCategories) {
  Results r;
  r.cell("m", {}, "a");
  r.number(0.9, "image", "auroc", "x").number(0.8, "image", "auroc", "y").number(0.85);
  r.add("m", {}, 0.6, "b");
  const Table table = r.table();
  ASSERT_THAT(table.columns, SizeIs(3));
  EXPECT_EQ(table.columns[2].num_datasets, 2);
  EXPECT_DOUBLE_EQ(*at(table, 0, 2).mean, 0.725);
  EXPECT_THAT(to_markdown(table), HasSubstr("mean of 2 sets AUROC"));
}

TEST(Table, TheDeviationOfAMeanOverDataSetsIsThatOfTheSeedsMeans) {
  Results r;
  r.add("m", 0, 0.9, "a").add("m", 0, 0.5, "b").add("m", 1, 0.5, "a").add("m", 1, 0.9, "b");
  const Table table = r.table();
  EXPECT_DOUBLE_EQ(*at(table, 0, 2).mean, 0.7);
  EXPECT_NEAR(*at(table, 0, 2).deviation, 0, 1e-12);
}

TEST(Table, GivesNoMeanOverDataSetsToARowThatLacksOne) {
  Results r;
  r.add("full", {}, 0.9, "a").add("full", {}, 0.7, "b").add("part", {}, 0.95, "a");
  r.cell("part", {}, "b");  // Not measured yet.
  const Table table = r.table();
  EXPECT_TRUE(at(table, 0, 2).mean);
  EXPECT_FALSE(at(table, 1, 2).mean);
  EXPECT_THAT(table.notes, Contains("part:paper on b: 0 of 1 measured"));
}

TEST(Table, MarksBestAndSecondAsPrintedAndTiesShareAMark) {
  Results r;
  // Printed 90.0, 90.0, 85.0, 85.0 and 80.0.
  r.add("a", {}, 0.90004).add("b", {}, 0.89996).add("c", {}, 0.85).add("d", {}, 0.8499999);
  r.add("e", {}, 0.8);
  const Table table = r.table();
  EXPECT_TRUE(at(table, 0).best && at(table, 1).best);
  EXPECT_TRUE(at(table, 2).second && at(table, 3).second);
  EXPECT_FALSE(at(table, 4).best || at(table, 4).second);
  EXPECT_THAT(to_markdown(table), AllOf(HasSubstr("**90.0**"), HasSubstr("<u>85.0</u>")));
}

TEST(Table, MarksNothingWhereAllLookAlike) {
  Results r;
  r.add("a", {}, 0.9).add("b", {}, 0.9);
  EXPECT_FALSE(at(r.table(), 0).best);
}

TEST(Table, RoundsOnceWhereItPrints) {
  Results r;
  r.add("m", 0, 0.849999).add("m", 1, 0.85);
  const Table table = r.table();
  EXPECT_DOUBLE_EQ(*at(table, 0).mean, (0.849999 + 0.85) / 2);
  EXPECT_EQ(to_json(table)["rows"][0]["cells"][0]["values"], (json{0.849999, 0.85}));
}

TEST(Table, WhatIsUndefinedIsADashEmptyOrNullAndNamed) {
  Results r;
  r.cell("m", {}, "elpv");
  r.number(0.7).number(std::nullopt, "pixel", "auroc");
  r.cell("m", {}, "visa");
  r.number(0.8).number(0.9, "pixel", "auroc");
  r.cell("other", {}, "elpv");
  r.number(0.6).number(std::nullopt, "pixel", "auroc");
  const Table table = r.table({.metrics = {{"image", "auroc"}, {"pixel", "auroc"}}});
  EXPECT_THAT(table.notes, Contains("elpv: pixel AUROC undefined (no_masks)"));
  EXPECT_THAT(to_markdown(table), AllOf(HasSubstr("| other:paper | - |"),
                                        Not(HasSubstr("elpv AUROC | visa AUROC |\n|---|---:|---:|\n"
                                                      "| m:paper | - "))));
  EXPECT_THAT(to_csv(table), HasSubstr("demo,m,paper,{},,elpv,pixel,auroc,,,,0,1,false,no_masks,"));
  const json cell = to_json(table)["rows"][0]["cells"][2];
  EXPECT_EQ(cell["level"], "pixel");
  EXPECT_EQ(cell["mean"], nullptr);
}

TEST(Table, AVariantIsARowNamedByWhatTheStudyChanged) {
  Results r;
  r.add("faprompt", 0, 0.8);
  r.cells.back().params = json{{"cap.K", 5}, {"dap.select", "raster"}};
  r.add("faprompt", 0, 0.7);
  const Table table = r.table();
  ASSERT_THAT(table.rows, SizeIs(2));
  EXPECT_EQ(table.rows[0].label(), "faprompt:paper cap.K=5 dap.select=raster");
  EXPECT_EQ(table.rows[1].label(), "faprompt:paper");
}

TEST(Table, ACellOfOneLevelCountsForThatLevelAlone) {
  Results r;
  r.cell("m", 0, "visa").level = "image";
  r.number(0.8);
  r.cell("m", 0, "visa").level = "pixel";
  r.number(0.9, "pixel");
  const Table table = r.table({.metrics = {{"image", "auroc"}, {"pixel", "auroc"}}});
  ASSERT_THAT(table.rows, SizeIs(1));
  EXPECT_THAT(at(table, 0, 0).values, ElementsAre(0.8));
  EXPECT_THAT(at(table, 0, 1).values, ElementsAre(0.9));
  EXPECT_THAT(table.notes, ::testing::IsEmpty()) << "nothing is missing";
}

TEST(Table, CurvesStandInATableOfTheirOwn) {
  Results r;
  r.add("clip", {}, 0.5);
  r.cell("m", 0, "visa").epoch = 5;
  r.number(0.7);
  r.cell("m", 0, "visa").protocol = json{{"epochs", 15}};
  r.number(0.8);
  r.cell("m", 0, "mvtec").on_train = true;
  r.cells.back().protocol = json{{"epochs", 15}};
  r.number(0.99);
  const Table proper = r.table();
  ASSERT_THAT(proper.rows, SizeIs(2));
  EXPECT_THAT(proper.columns, SizeIs(1));
  EXPECT_THAT(at(proper, 1).values, ElementsAre(0.8));
  const Table curves = r.table({.metrics = {{"image", "auroc"}}, .curves = true});
  ASSERT_THAT(curves.rows, SizeIs(2));
  EXPECT_EQ(curves.rows[0].label(), "m:paper epoch 5");
  EXPECT_EQ(curves.rows[1].label(), "m:paper epoch 15");
  ASSERT_THAT(curves.columns, SizeIs(2));
  EXPECT_EQ(curves.columns[1].dataset, "mvtec");
  EXPECT_THAT(at(curves, 1, 1).values, ElementsAre(0.99));
}

TEST(Table, SeveralEvaluationSizesAreSeveralPixelColumns) {
  Results r;
  r.cell("a", {}, "visa").eval_size = 240;
  r.number(0.7, "pixel", "auroc");
  r.cell("b", {}, "visa").eval_size = 518;
  r.number(0.8, "pixel", "auroc");
  const std::string text = to_markdown(r.table({.metrics = {{"pixel", "auroc"}}}));
  EXPECT_THAT(text, HasSubstr("visa AUROC at 240 px | visa AUROC at 518 px"));
  EXPECT_THAT(text, HasSubstr("| a:paper | 70.0 | - |"));
}

TEST(Table, MarksCellsWhoseTrainingImagesAreInTheTarget) {
  Results r;
  r.cell("m", 0, "visa").overlap = 3;
  r.number(0.8);
  const std::string text = to_markdown(r.table());
  EXPECT_THAT(text, AllOf(HasSubstr("80.0†"), HasSubstr("† training images are in the target")));
}

TEST(Table, OneJobUnderTwoNamesCountsOnceInEach) {
  Results r;
  r.add("m", 0, 0.8);
  r.cells.push_back(r.cells.back());  // The same row again, from another sweep.
  r.values.push_back(r.values.back());
  EXPECT_EQ(at(r.table(), 0).num_seeds, 1);
}

TEST(Table, APersonSeesThatNothingIsMeasured) {
  Results r;
  r.cell("m", 0, "visa");
  const Table table = r.table();
  EXPECT_THAT(to_terminal(table, false), HasSubstr("demo: nothing is measured yet"));
  EXPECT_THAT(table.notes, ElementsAre("m:paper on visa: 0 of 1 measured"));
}

TEST(Table, RefusesAMetricItDoesNotKnow) {
  EXPECT_EQ(parse_table_metric("pixel.aupro_cflow200"), (TableMetric{"pixel", "aupro_cflow200"}));
  EXPECT_THAT([] { (void)parse_table_metric("image.aupro"); },
              ThrowsMessage<ConfigError>(StartsWith("'image.aupro' is not a metric of a table; "
                                                    "known: image.auroc, ")));
}

TEST(Terminal, AlignsColumnsWhateverTheBytesOfASign) {
  Results r;
  r.add("a", 0, 0.8).add("a", 1, 0.9).add("longer", 0, 0.7);
  const std::string text = to_terminal(r.table(), false);
  EXPECT_EQ(text,
            "demo: image level, percent, mean ± sample standard deviation over seeds\n"
            "                       visa\n"
            "method                AUROC\n"
            "a:paper         85.0 ± 7.1*\n"
            "longer:paper  70.0 (n = 1)'\n"
            "\n"
            "* best, ' second, as printed\n");
}

TEST(Terminal, PaintsMarksWhereItMay) {
  Results r;
  r.add("a", {}, 0.8).add("b", {}, 0.7);
  EXPECT_THAT(to_terminal(r.table(), true),
              AllOf(HasSubstr("\033[1m80.0\033[0m"), HasSubstr("\033[4m70.0\033[0m")));
}

// cases.md B01.
TEST(Latex, EscapesNamesInHeaderRowAndCaption) {
  Results r;
  for (const char* dataset : {"metal_nut", "R&D 50%", "a#b", "x^2~y", "{z}", "back\\slash"}) {
    r.add("faprompt_k=10", {}, 0.5, dataset);
  }
  const Table table = make_table("my_study", r.cells, r.values, {.metrics = {{"image", "auroc"}}});
  const std::string text = to_latex(table);
  for (const char* escaped :
       {"{metal\\_nut}", "{R\\&D 50\\%}", "{a\\#b}", "{x\\textasciicircum{}2\\textasciitilde{}y}",
        "{\\{z\\}}", "{back\\textbackslash{}slash}", "\nfaprompt\\_k=10:paper & ",
        "\\caption{my\\_study: image level"}) {
    EXPECT_THAT(text, HasSubstr(escaped));
  }
  EXPECT_THAT(text,
              AllOf(HasSubstr("\\toprule"), HasSubstr("\\bottomrule"),
                    HasSubstr("\\cmidrule(lr){2-2}"), HasSubstr("\\begin{tabular}{lrrrrrrr}")));
}

TEST(Latex, WritesSignsThatPdfTexKnows) {
  Results r;
  r.add("a", 0, 0.8).add("a", 1, 0.9).add("b", 0, 0.7);
  const std::string text = to_latex(r.table());
  EXPECT_THAT(text, AllOf(HasSubstr("\\textbf{85.0 $\\pm$ 7.1}"), HasSubstr("\\underline{70.0"),
                          Not(HasSubstr("±"))));
}

TEST(Markdown, EscapesABar) {
  Results r;
  r.add("a|b", {}, 0.5);
  EXPECT_THAT(to_markdown(r.table()), HasSubstr("| a\\|b:paper |"));
}

TEST(Csv, QuotesWhatItMustAndReadsItBack) {
  Results r;
  r.add("a,\"b\"", {}, 0.5, "d");
  const std::string text = to_csv(r.table());
  EXPECT_THAT(text, HasSubstr(R"(demo,"a,""b""",paper)"));
  const auto rows = parse_csv(text, "t.csv");
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].at("method"), "a,\"b\"");
  EXPECT_EQ(rows[0].at("mean"), "0.5");
}

TEST(Csv, NamesARowOfAnotherLengthAndAnOpenQuote) {
  EXPECT_THAT([] { (void)parse_csv("a,b\n1,2\n3\n", "t.csv"); },
              ThrowsMessage<DataError>("t.csv: row 3 has 1 fields, expected 2"));
  EXPECT_THAT([] { (void)parse_csv("a,b\n1,\"2\n", "t.csv"); },
              ThrowsMessage<DataError>("t.csv: a quote is not closed"));
}

TEST(Published, HasEveryRowOfItsFiles) {
  std::size_t count = 0;
  for (const char* table : {"1", "2", "3"}) count += published_numbers({"tps", table}).size();
  EXPECT_EQ(count, 198U);  // README of the numbers.
  EXPECT_EQ(published_numbers({"faprompt", "1"}).size(), 234U);
}

TEST(Published, NamesWhatItKnows) {
  EXPECT_THAT(
      [] {
        (void)published_numbers({"fapromt", "1"});
      },
      ThrowsMessage<ConfigError>(HasSubstr("no printed numbers of a paper 'fapromt'; known: "
                                           "adaclip, anomalyclip, bayes_pfl, faprompt")));
  EXPECT_THAT(
      [] {
        (void)published_numbers({"tps", "9"});
      },
      ThrowsMessage<ConfigError>(HasSubstr("table '9' of paper 'tps'; its tables: 1, 2, 3")));
}

class PublishedTableTest : public ::testing::Test {
 protected:
  Results results() {
    Results r;
    StudyCell& cell = r.cell("faprompt", 0, "elpv");
    cell.train_dataset = "mvtec";
    cell.protocol =
        json{{"train_sets", "mvtec"},           {"train_split", "all"}, {"epochs", 7},
             {"backbone", "clip-vit-l-14-336"}, {"image_size", 518},    {"eval_size", 518},
             {"data_profile", "377/715"},       {"sigma", 4.0}};
    r.number(0.5, "image", "auroc").number(0.5, "pixel", "aupro_cflow200");
    return r;
  }
  TableOptions options_ = {.published_tables = {{"faprompt", "1"}, {"faprompt", "2"}}};
};

TEST_F(PublishedTableTest, PrintsAPapersNumbersMarkedBesideOurs) {
  const Table table = results().table(options_);
  ASSERT_THAT(table.rows, SizeIs(2));
  EXPECT_EQ(table.rows[1].label(), "faprompt (printed in faprompt)");
  EXPECT_EQ(at(table, 1).printed, "83.5");  // Table 1, ELPV, image AUROC.
  EXPECT_FALSE(at(table, 0).best);
  EXPECT_THAT(to_markdown(table), HasSubstr("*83.5*°"));
  EXPECT_THAT(to_latex(table), HasSubstr("\\textit{83.5}$^\\circ$"));
  EXPECT_EQ(to_json(table)["rows"][1]["cells"][0]["printed_percent"], "83.5");
}

TEST_F(PublishedTableTest, ListsProtocolDifferencesFirst) {
  const Table table = results().table(options_);
  ASSERT_THAT(table.protocol, SizeIs(1));
  // Equal fields are left out; what the paper does not say is never taken for equal.
  EXPECT_EQ(table.protocol[0],
            "faprompt in faprompt, table 1 (own): sigma 4 here, 10 there; not stated there: seeds "
            "(1 here), "
            "eval_size (518 here), aupro_variant (exact, and 200 thresholds as AUPRO-200 here)");
  EXPECT_THAT(to_terminal(table, false), StartsWith("protocol: faprompt in faprompt, table 1"));
}

TEST_F(PublishedTableTest, ReadsOfSeveralSourcesTheOneThatPrintsOurSets) {
  Results r = results();
  r.cell("anomalyclip", 0, "elpv").protocol = json{{"train_split", "test"}};
  r.number(0.5);
  const Table table = r.table(options_);
  // AnomalyCLIP's numbers are copied from its paper but for four sets, ELPV among them.
  ASSERT_THAT(table.protocol, SizeIs(2));
  EXPECT_THAT(table.protocol[0], StartsWith("anomalyclip in faprompt, table 1 (own): train_split "
                                            "test here, train+test there; not stated there: "));
}

TEST_F(PublishedTableTest, LeavesARowWithoutPrintedNumbersOutOfABlock) {
  const std::string text = to_markdown(results().table(options_));
  const std::size_t pixel = text.find("pixel level");
  ASSERT_NE(pixel, std::string::npos);
  EXPECT_THAT(text.substr(pixel), Not(HasSubstr("(printed in")));
}

TEST_F(PublishedTableTest, ShowsMethodsThatOnlyHavePrintedNumbers) {
  options_.published = {"winclip"};
  const Table table = results().table(options_);
  ASSERT_THAT(table.rows, SizeIs(3));
  options_.published = {"patchcore"};
  EXPECT_THAT([&] { (void)results().table(options_); },
              ThrowsMessage<ConfigError>(HasSubstr("'published' names 'patchcore', of which")));
}

}  // namespace
}  // namespace assay
