// Values of the command line: `K=4,8`.

#include "tests/runner/study_text.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Overrides, ReplaceStudyKeysAndVarySwitches) {
  const Study study = parse(study_text("",
                                       "method = 'faprompt'\ngrid = { 'cap.K' = [1, 5], M = [5] }"
                                       "\n[[sweep]]\nmethod = 'clip'"),
                            {"K=4,8", "seeds=7", "targets=elpv", "data=/sets", "loss.oc_weight=0.5",
                             "dap.select=raster"});
  EXPECT_THAT(study.seeds, ElementsAre(7));
  EXPECT_THAT(study.targets, ElementsAre("elpv"));
  EXPECT_EQ(study.dataset_root("elpv"), "/sets/elpv");
  const Sweep& sweep = study.sweeps[0];
  ASSERT_THAT(sweep.grid, SizeIs(4));
  EXPECT_THAT(sweep.grid[0].values, ElementsAre(4, 8));
  EXPECT_EQ(sweep.grid[1].key, "M");
  EXPECT_THAT(sweep.grid[2].values, ElementsAre(0.5));
  EXPECT_THAT(sweep.grid[3].values, ElementsAre("raster"));
  EXPECT_THAT(study.sweeps[1].grid, IsEmpty());  // CLIP has no such switch.
  EXPECT_THAT(study.text, HasSubstr("\n# override: K=4,8"));
}

TEST(Overrides, MakeAStudyOfItsOwnWhateverTheirOrder) {
  const std::string text = study_text("", "method = 'faprompt'");
  const std::string name = parse(text).name;
  EXPECT_EQ(parse(text, {"seeds=7", "K=4,8"}).name, name + " K=4,8 seeds=7");
  EXPECT_EQ(parse(text, {"K=4,8", "seeds=7"}).name, name + " K=4,8 seeds=7");
  EXPECT_EQ(parse(text, {"data=/sets", "weights=/clip"}).name, name) << "where things lie is none";
  EXPECT_EQ(parse(text, {"name=other"}).name, "other");
}

TEST(Overrides, AreToldFromANameThatHasBlanksItself) {
  const std::string text = study_text("", "method = 'faprompt'");
  for (const std::vector<std::string>& overrides :
       {std::vector<std::string>{}, {"K=4,8"}, {"seeds=7", "K=4,8"}, {"data=/sets"}}) {
    std::vector<std::string> named = overrides;
    named.emplace_back("name=all K=1");
    const Study study = parse(text, named);
    EXPECT_EQ(plain_name(study.name, study.text), "all K=1");
    EXPECT_EQ(recorded_overrides(study.text), named);
  }
}

TEST(Overrides, MakeAxesOfSeveralBackbonesOrSizes) {
  const std::string two =
      "method = 'clip'\ngrid = { image_size = [64, 96] }\n[[sweep]]\nmethod = 'anomalyclip'";
  const Study several = parse(study_text("", two), {"image_size=32,64", "eval_size=256,518"});
  for (const Sweep& sweep : several.sweeps) {
    ASSERT_THAT(sweep.grid, SizeIs(2));
    EXPECT_THAT(sweep.grid[0].values, ElementsAre(32, 64));
    EXPECT_THAT(sweep.grid[1].values, ElementsAre(256, 518));
  }
  const Study one = parse(study_text("", two), {"image_size=32"});
  EXPECT_THAT(one.sweeps[0].grid[0].values, ElementsAre(32));
  EXPECT_THAT(one.sweeps[1].grid, IsEmpty());
  EXPECT_EQ(one.image_size.find("anomalyclip"), 32);
}

TEST(Overrides, ReplaceTheSeedsOfSweepsToo) {
  const Study study = parse(study_text("", "method = 'faprompt'\nseeds = [7, 8]"), {"seeds=1,2,3"});
  EXPECT_THAT(*study.sweeps[0].seeds, ElementsAre(1, 2, 3));
  EXPECT_THAT(study.seeds, ElementsAre(1, 2, 3));
}

TEST(Overrides, NameRowsOfAnAblation) {
  const Study study = parse(study_text(), {"row=base,cap"});
  const auto& axes = study.sweeps.front().grid;
  EXPECT_EQ(axes.back().key, "row");
  EXPECT_EQ(axes.back().values, (std::vector<nlohmann::json>{"base", "cap"}));
}

TEST(Overrides, SayWhatIsWrongWithThem) {
  expect_error(study_text(), "'K' is not an override; expected KEY=VALUE", {"K"});
  expect_error(study_text(), "'K=' is not an override; expected KEY=VALUE", {"K="});
  expect_error(study_text(), "command line: switch 'cap.K' of faprompt is \"x\", expected",
               {"K=x"});
  expect_error(study_text(),
               "command line: 'tragets' is neither a key of a study nor a switch of "
               "its methods; did you mean 'targets'?",
               {"tragets=visa"});
  expect_error(study_text(), "command line: 'seeds' is a string, expected an integer", {"seeds=a"});
  expect_error(study_text("", "method = 'faprompt'\nzip = { E = [2, 5], E2 = [1, 2] }"),
               "command line: 'E' stands in a 'zip' of a sweep of faprompt", {"E=3"});
}

TEST(Overrides, GiveAKeyOnceAndAValueOnce) {
  expect_error(study_text(), "command line: 'K' has 4 twice", {"K=4,4"});
  expect_error(study_text(), "command line: 'image_size' has 32 twice", {"image_size=32,32"});
  expect_error(study_text(), "command line: 'seeds' has 1 twice", {"seeds=1,1"});
  expect_error(study_text(), "command line: 'K' and 'K' give one key twice; several values are K=",
               {"K=4", "K=5"});
  expect_error(study_text(), "command line: 'K' and 'cap.K' give one key twice",
               {"K=4", "cap.K=5"});
  expect_error(study_text(), "command line: 'seeds' and 'seeds' give", {"seeds=1", "seeds=2"});
}

TEST(Overrides, SayWhichKeysOnlyAFileCanGive) {
  for (const char* text : {"skip=x", "outputs=3", "schema=1", "base=x.toml", "ensemble=3"}) {
    const std::string key(text, std::string_view(text).find('='));
    expect_error(study_text(),
                 "command line: '" + key +
                     "' cannot be given on the command line; change experiments/k.toml",
                 {text});
  }
  const std::string table = "published_table = { paper = 'faprompt', table = '1' }";
  EXPECT_THAT(parse(study_text(table), {"published=winclip"}).published, ElementsAre("winclip"));
  expect_error(study_text(), "command line: 'published' names methods, but no 'published_table'",
               {"published=winclip"});
}

}  // namespace
}  // namespace assay
