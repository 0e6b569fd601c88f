#include "runner/study.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/plan.h"
#include "runner/toml_reader.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

/// A study that is right, of which each test spoils one line. The first `[[sweep]]` is line 8.
std::string study_text(const std::string& extra = "",
                       const std::string& sweep = "method = 'faprompt:paper'") {
  return "schema = 1\n"
         "name = 'k'\n"
         "backbone = 'assay-tiny'\n"
         "train_on = { default = 'synth-a', synth-a = 'synth-b' }\n"
         "targets = ['synth-b', 'elpv']\n"
         "seeds = [0, 1]\n" +
         extra + "\n[[sweep]]\n" + sweep + "\n";
}

Study parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_study(text, "experiments/k.toml", overrides);
}

void expect_error(const std::string& text,
                  const std::string& message,
                  const std::vector<std::string>& overrides = {}) {
  EXPECT_THAT([&] { (void)parse(text, overrides); },
              ThrowsMessage<ConfigError>(StartsWith(message)))
      << text;
}

TEST(ParseStudy, ReadsEveryKeyOfTheDesign) {
  const Study study = parse(
      "schema = 1\nname = 'all'\n"
      "backbone = { default = 'clip-vit-l-14-336', faprompt = 'assay-tiny' }\n"
      "image_size = { clip = 336 }\neval_size = { default = 518, clip = 240 }\n"
      "train_on = { default = ['mvtec', 'clinicdb'], mvtec = ['visa', 'colondb'] }\n"
      "train_split = { mvtec = 'all' }\ntargets = ['visa', 'mvtec']\nseeds = [4, 2]\n"
      "allow_overlap = true\noutputs = { heatmaps = 4 }\n"
      "published_table = [{ paper = 'faprompt', table = '1' }, { paper = 'tps', table = '2' }]\n"
      "published = ['winclip']\ndata = { default = '../data', elpv = '/sets/elpv' }\n"
      "weights = 'weights'\n"
      "[[sweep]]\nmethod = 'faprompt:paper'\ngrid = { M = [5, 10], K = [1, 5] }\n"
      "zip = { E = [2, 5, 10], E2 = [1, 2, 4] }\nseeds = [7]\n"
      "[[sweep]]\nmethod = 'clip'\n");
  EXPECT_EQ(study.name, "all");
  EXPECT_EQ(study.backbone.find("faprompt"), "assay-tiny");
  EXPECT_EQ(study.backbone.find("clip"), "clip-vit-l-14-336");
  EXPECT_EQ(study.image_size.find("clip"), 336);
  EXPECT_EQ(study.image_size.find("faprompt"), std::nullopt);
  EXPECT_EQ(study.eval_size.find("faprompt"), 518);
  EXPECT_EQ(study.eval_size.find("clip"), 240);
  EXPECT_THAT(*study.train_on.find("visa"), ElementsAre("clinicdb", "mvtec"));
  EXPECT_THAT(*study.train_on.find("mvtec"), ElementsAre("colondb", "visa"));
  EXPECT_EQ(study.train_split.find("mvtec"), "all");
  EXPECT_THAT(study.targets, ElementsAre("visa", "mvtec"));
  EXPECT_THAT(study.seeds, ElementsAre(4, 2));
  EXPECT_TRUE(study.allow_overlap);
  EXPECT_EQ(study.heatmaps, 4);
  EXPECT_THAT(study.published_tables,
              ElementsAre(PublishedTable{"faprompt", "1"}, PublishedTable{"tps", "2"}));
  EXPECT_THAT(study.published, ElementsAre("winclip"));
  EXPECT_EQ(study.dataset_root("visa"), "experiments/../data/visa");
  EXPECT_EQ(study.dataset_root("elpv"), "/sets/elpv");
  EXPECT_EQ(study.weights, "experiments/weights");
  ASSERT_THAT(study.sweeps, SizeIs(2));
  EXPECT_EQ(study.sweeps[0].grid[0].key, "M");  // In the file's order.
  EXPECT_THAT(*study.sweeps[0].seeds, ElementsAre(7));
  EXPECT_EQ(study.sweeps[1].seeds, std::nullopt);
}

TEST(ParseStudy, TheDefaultsOfAShortStudyAreThoseOfTheStruct) {
  const Study study =
      parse("schema = 1\nname = 's'\ntargets = ['visa']\n[[sweep]]\nmethod = 'clip'\n");
  EXPECT_THAT(study.seeds, ElementsAre(0));
  EXPECT_FALSE(study.allow_overlap);
  EXPECT_EQ(study.heatmaps, 0);
  EXPECT_EQ(study.backbone.find("clip"), std::nullopt);
}

TEST(Settings, CrossAGridAndTakeAZipTogether) {
  const Sweep sweep{.method = "m",
                    .grid = {{.key = "a", .values = {1, 2}}},
                    .zip = {{.key = "b", .values = {3, 4}}, {.key = "c", .values = {5, 6}}}};
  const auto all = settings(sweep);
  ASSERT_THAT(all, SizeIs(4));
  EXPECT_EQ(all[1], (Setting{{"a", 1}, {"b", 4}, {"c", 6}}));
  EXPECT_EQ(all[2], (Setting{{"a", 2}, {"b", 3}, {"c", 5}}));
  EXPECT_THAT(settings(Sweep{.method = "m"}), ElementsAre(IsEmpty()));
}

TEST(ParseStudy, NamesFileLineAndTheNearestKey) {
  expect_error(study_text("", "methd = 'faprompt'"),
               "experiments/k.toml:9: 'methd' is not a key of [[sweep]]; did you mean 'method'?");
  expect_error(study_text("sedes = [1]"),
               "experiments/k.toml:7: 'sedes' is not a key of a study; did you mean 'seeds'?");
  expect_error(study_text("colour = 1"),
               "experiments/k.toml:7: 'colour' is not a key of a study; known: allow_overlap, ");
  expect_error(study_text("", "method = 'clip'\ngird = { K = [1] }"),
               "experiments/k.toml:10: 'gird' is not a key of [[sweep]]; did you mean 'grid'?");
  expect_error(study_text("outputs = { heatmap = 3 }"),
               "experiments/k.toml:7: 'heatmap' is not a key of outputs; did you mean 'heatmaps'?");
}

TEST(ParseStudy, NamesAMissingKey) {
  expect_error("schema = 1\nname = 'x'\n", "experiments/k.toml:1: a study has no 'targets'");
  expect_error("schema = 1\nnam = 'x'\n",
               "experiments/k.toml:2: 'nam' is not a key of a study; did you mean 'name'?");
  expect_error(study_text("", "seeds = [1]"), "experiments/k.toml:8: [[sweep]] has no 'method'");
  expect_error("schema = 1\nname = 'x'\ntargets = ['visa']\n",
               "experiments/k.toml: a study has no [[sweep]]");
}

TEST(ParseStudy, NamesTheTypeThatItExpected) {
  expect_error(study_text("", "method = 3"),
               "experiments/k.toml:9: 'method' is an integer, expected a string");
  expect_error(study_text("allow_overlap = 'yes'"),
               "experiments/k.toml:7: 'allow_overlap' is a string, expected true or false");
  expect_error(
      study_text("eval_size = 1.5"),
      "experiments/k.toml:7: 'eval_size' is a number with a fraction, expected an integer");
  expect_error(study_text("", "method = 'faprompt'\ngrid = { K = 5 }"),
               "experiments/k.toml:10: 'grid.K' is an integer, expected a list");
  expect_error(study_text("", "method = 'faprompt'\ngrid = [1]"),
               "experiments/k.toml:10: 'grid' is a list, expected a table of switches");
  expect_error("schema = 1\nname = 'x'\ntargets = 'visa'\n[[sweep]]\nmethod = 'clip'\n",
               "experiments/k.toml:3: 'targets' is a string, expected a list");
  expect_error("schema = 1\nname = 'x'\ntargets = ['visa']\nsweep = 3\n",
               "experiments/k.toml:4: 'sweep' is an integer, expected tables [[sweep]]");
  expect_error(study_text("image_size = { faprompt = 'big' }"),
               "experiments/k.toml:7: 'image_size.faprompt' is a string, expected an integer");
  expect_error(study_text("published_table = 'faprompt'"),
               "experiments/k.toml:7: 'published_table' is a string, expected { paper = ");
}

TEST(ParseStudy, RefusesWhatCannotBe) {
  expect_error("schema = 2\nname = 'x'\n",
               "experiments/k.toml:1: 'schema' is 2, this build reads 1");
  expect_error("schema = 1\nname = ''\n", "experiments/k.toml:2: 'name' is an empty string");
  expect_error(study_text("eval_size = 0"),
               "experiments/k.toml:7: 'eval_size' is 0, expected a number in [1, 16384]");
  expect_error(study_text("train_split = 'train'"),
               "experiments/k.toml:7: 'train_split' is 'train', expected 'test' or 'all'");
  expect_error(study_text("", "method = 'faprompt'\ngrid = { K = [] }"),
               "experiments/k.toml:10: 'grid.K' is an empty list");
  expect_error(study_text("", "method = 'faprompt'\ngrid = {}"),
               "experiments/k.toml:10: 'grid' is empty");
  expect_error(study_text("", "method = 'faprompt'\ngrid = { K = [1, 5, 1] }"),
               "experiments/k.toml:10: 'grid.K' has 1 twice");
  expect_error(study_text("", "method = 'faprompt'\nseeds = []"),
               "experiments/k.toml:10: 'seeds' is an empty list");
  expect_error(study_text("", "method = 'faprompt'\nseeds = [1, 1]"),
               "experiments/k.toml:10: 'seeds' has 1 twice");
  expect_error(study_text("", "method = 'faprompt'\nzip = { E = [2, 5], E2 = [1] }"),
               "experiments/k.toml:8: 'zip' takes values together: 'E' has 2, 'E2' has 1");
  expect_error(study_text("", "method = 'faprompt'\ngrid = { K = [1], cap.K = [5] }"),
               "experiments/k.toml:10: 'cap.K' is varied twice in one sweep");
  expect_error(study_text("", "method = 'faprompt'\ngrid = { K = [1] }\nzip = { 'cap.K' = [5] }"),
               "experiments/k.toml:11: 'cap.K' is varied twice in one sweep");
  expect_error(study_text("published = ['patchcore']"),
               "experiments/k.toml:7: 'published' names methods, but no 'published_table'");
}

TEST(ParseStudy, NamesThePrintedTablesThatItKnows) {
  expect_error(study_text("published_table = { paper = 'fapromt', table = '1' }"),
               "experiments/k.toml:7: no printed numbers of a paper 'fapromt'; known: adaclip, ");
  expect_error(
      study_text("published_table = { paper = 'tps', table = '7' }"),
      "experiments/k.toml:7: no printed numbers of table '7' of paper 'tps'; its tables: 1");
  expect_error(study_text("published = ['patchcore']\n"
                          "published_table = { paper = 'faprompt', table = '1' }"),
               "experiments/k.toml:8: 'published' names 'patchcore', of which");
}

TEST(ParseStudy, RefusesBadTomlWithItsLine) {
  expect_error("schema = 1\nname = \n", "experiments/k.toml:2: not TOML: ");
  expect_error("schema = 1\nschema = 1\n", "experiments/k.toml:2: not TOML: ");
  expect_error("schema = 1\nname = 2024-05-21\n", "experiments/k.toml:2: dates and times");
  expect_error(study_text("", "method = 'faprompt'\ngrid = { 'loss.oc_weight' = [nan] }"),
               "experiments/k.toml:10: NaN and infinity have no use in a study");
}

TEST(ParseStudy, ChecksMethodsPresetsSwitchesAndValuesBeforeAnythingRuns) {
  expect_error(study_text("", "method = 'faprmpt'"), "experiments/k.toml:9: 'faprmpt' is not a ");
  expect_error(study_text("", "method = 'faprompt:papr'"),
               "experiments/k.toml:8: 'papr' is not a ");
  expect_error(study_text("", "method = 'faprompt'\ngrid = { M = [5], cap.L = [1] }"),
               "experiments/k.toml:10: 'cap.L' is not a switch of faprompt");
  expect_error(study_text("", "method = 'faprompt'\n[sweep.grid]\nM = [5]\nK = [1, 0]"),
               "experiments/k.toml:12: switch 'cap.K' of faprompt is 0, expected an integer");
  expect_error(study_text("", "method = 'clip'\ngrid = { backbone = ['clip-vit-l-14-33'] }"),
               "experiments/k.toml:10: 'clip-vit-l-14-33' is not a backbone");
  expect_error(study_text("", "method = 'clip'\ngrid = { image_size = ['big'] }"),
               "experiments/k.toml:10: 'image_size' is \"big\", expected a number of pixels");
  expect_error(study_text("image_size = 100"),
               "experiments/k.toml:8: image_size is 100 px, expected a multiple of 8");
  expect_error(
      "schema = 1\nname = 'x'\nbackbone = 'asay-tiny'\ntargets = ['visa']\n"
      "[[sweep]]\nmethod = 'clip'\n",
      "experiments/k.toml:3: 'asay-tiny' is not a backbone");
}

TEST(ParseStudy, BlamesTheSweepWhereOnlyTheCombinationIsWrong) {
  // At 32 px assay-tiny has 16 patches; each value alone is legal.
  expect_error(study_text("",
                          "method = 'faprompt'\ngrid = { image_size = [128, 32], "
                          "'dap.M' = [4, 100] }\n"),
               "experiments/k.toml:8: faprompt: 'dap.M' is 100, expected at most 16");
}

TEST(ParseStudy, FindsAMisspeltTarget) {
  expect_error(
      "schema = 1\nname = 'x'\ntrain_on = { default = 'mvtec', vsia = 'mvtec' }\n"
      "targets = ['visa']\n[[sweep]]\nmethod = 'clip'\n",
      "experiments/k.toml:3: 'train_on.vsia' is not a target; did you mean 'visa'?");
}

TEST(ParseStudy, SaysWhatIsNotSupportedYet) {
  expect_error(study_text("outputs = { maps = ['visa'] }"),
               "experiments/k.toml:7: 'maps' of outputs is not supported yet");
}

TEST(ParseStudy, TrainsPerLevel) {
  const std::string rest = "targets = ['btad', 'isic']\n[[sweep]]\nmethod = 'anomalyclip'\n";
  const std::string head = "schema = 1\nname = 'tps'\n";
  const Study study = parse(head +
                            "train_on = { image = 'headct', pixel = { default = 'isic', isic = "
                            "['b', 'a'] } }\n" +
                            rest);
  EXPECT_THAT(*study.train_on.find("btad"), ElementsAre("headct"));
  ASSERT_TRUE(study.train_on_pixel);
  EXPECT_THAT(*study.train_on_pixel->find("btad"), ElementsAre("isic"));
  EXPECT_THAT(*study.train_on_pixel->find("isic"), ElementsAre("a", "b"));
  expect_error(head + "train_on = { image = 'headct' }\n" + rest,
               "experiments/k.toml:3: 'train_on' has 'image' and no 'pixel'; a training per level");
  expect_error(head + "train_on = { image = 'a', pixel = 'b', btad = 'c' }\n" + rest,
               "experiments/k.toml:3: 'train_on.btad' beside a training per level; put it inside");
  expect_error(head + "train_on = { image = 'a', pixel = { default = 'b', btda = 'c' } }\n" + rest,
               "experiments/k.toml:3: 'train_on.pixel.btda' is not a target; did you mean 'btad'?");
}

TEST(ParseStudy, LeavesOutWhatIsExcluded) {
  const std::string grid = "method = 'faprompt'\ngrid = { K = [1, 5, 10], M = [5, 10] }\n";
  const Study study =
      parse(study_text("", grid + "exclude = [{ K = 1 }, { 'cap.K' = 5, dap.M = 10 }]"));
  EXPECT_THAT(settings(study.sweeps[0]),
              ElementsAre(Setting{{"K", 5}, {"M", 5}}, Setting{{"K", 10}, {"M", 5}},
                          Setting{{"K", 10}, {"M", 10}}));
  expect_error(study_text("", grid + "exclude = { E = 5 }"),
               "experiments/k.toml:11: 'exclude' names 'E', which is no axis of this sweep; did");
  expect_error(study_text("", grid + "exclude = { 'cap.J' = 5 }"),
               "experiments/k.toml:11: 'exclude' names 'cap.J', which is no axis of this sweep; it "
               "has: K, M");
  expect_error(study_text("", grid + "exclude = { K = 2 }"),
               "experiments/k.toml:11: 'exclude' names K = 2, expected one of [1,5,10]");
  expect_error(study_text("", grid + "exclude = []"),
               "experiments/k.toml:11: 'exclude' is an empty list");
  expect_error(study_text("", grid + "exclude = [3]"),
               "experiments/k.toml:11: 'exclude' is an integer, expected a table such as");
  expect_error(study_text("", grid + "exclude = [{ M = 5 }, { M = 10 }]"),
               "experiments/k.toml:8: 'exclude' leaves nothing of this sweep");
}

TEST(ParseStudy, ReadsEnsembles) {
  const std::string sweep = "method = 'anomalyclip:released'\nseeds = [111, 112, 113]\n";
  const Study study = parse(study_text("", sweep + "ensemble = { over = 'seed', n = 3 }"));
  EXPECT_EQ(study.sweeps[0].ensemble, (Ensemble{.n = 3, .combine = "prototype"}));
  EXPECT_EQ(parse(study_text("", sweep + "ensemble = {}")).sweeps[0].ensemble->n, 0);
  expect_error(study_text("", sweep + "ensemble = { n = 2 }"),
               "experiments/k.toml:8: an ensemble of 2 checkpoints from 3 seeds; expected a "
               "multiple of 2");
  expect_error(study_text("", sweep + "ensemble = { over = 'epoch' }"),
               "experiments/k.toml:11: 'ensemble.over' is 'epoch', expected 'seed'");
  expect_error(study_text("", sweep + "ensemble = { combine = 'maps' }"),
               "experiments/k.toml:11: 'combine' is 'maps', expected 'prototype' or 'scores'");
  expect_error(study_text("", "method = 'faprompt'\nensemble = {}"),
               "experiments/k.toml:10: faprompt does not judge by two texts, whose mean");
  expect_error(study_text("", "method = 'clip'\nensemble = {}"),
               "experiments/k.toml:10: clip trains nothing: it has no checkpoints");
  expect_error(study_text("", sweep + "ensemble = { number = 3 }"),
               "experiments/k.toml:11: 'number' is not a key of ensemble; ");
}

TEST(ParseStudy, ReadsWhatIsEvaluatedForCurves) {
  const std::string sweep = "method = 'anomalyclip'\n";
  const Curves curves =
      parse(study_text("", sweep + "eval = { epochs = [10, 5], on_train = true }")).sweeps[0].eval;
  EXPECT_THAT(curves.epochs, ElementsAre(5, 10));
  EXPECT_TRUE(curves.on_train);
  EXPECT_TRUE(parse(study_text("", sweep + "eval = { epochs = 'all' }")).sweeps[0].eval.all_epochs);
  expect_error(study_text("", sweep + "eval = { epochs = 5 }"),
               "experiments/k.toml:10: 'eval.epochs' is an integer, expected a list of epochs");
  expect_error(study_text("", sweep + "eval = { epochs = [-1] }"),
               "experiments/k.toml:10: 'eval.epochs' has -1");
  expect_error(study_text("", "method = 'clip'\neval = { on_train = true }"),
               "experiments/k.toml:10: clip trains nothing: it has no epochs");
  expect_error(study_text("", sweep + "ensemble = {}\neval = { on_train = true }"),
               "experiments/k.toml:11: 'eval' beside 'ensemble'");
}

TEST(ParseStudy, ReadsWhatIsToBeProfiled) {
  const Study study = parse(
      study_text("[[profile]]\nmethods = ['clip', 'faprompt:paper']\n"
                 "[[profile]]\nmethods = ['anomalyclip']\nform = ['cached']\nphase = ['train']\n"
                 "batch = 32\nsteps = 7\nwarmup = 0\n"));
  ASSERT_THAT(study.profiles, SizeIs(2));
  EXPECT_THAT(study.profiles[0].methods, ElementsAre("clip", "faprompt:paper"));
  EXPECT_THAT(study.profiles[0].forms, ElementsAre("literal", "cached"));
  EXPECT_THAT(study.profiles[0].phases, ElementsAre("train", "infer"));
  EXPECT_EQ(study.profiles[0].batch, 8);
  EXPECT_EQ(study.profiles[0].steps, std::nullopt);
  EXPECT_EQ(study.profiles[0].warmup, 20);
  EXPECT_THAT(study.profiles[1].forms, ElementsAre("cached"));
  EXPECT_THAT(study.profiles[1].phases, ElementsAre("train"));
  EXPECT_EQ(study.profiles[1].batch, 32);
  EXPECT_EQ(study.profiles[1].steps, 7);
  EXPECT_EQ(study.profiles[1].warmup, 0);
  EXPECT_THAT(parse("schema = 1\nname = 'k'\ntargets = ['elpv']\n"
                    "[[profile]]\nmethods = ['clip']\n")
                  .sweeps,
              IsEmpty())
      << "a study may be of profiles alone";
}

TEST(ParseStudy, SaysWhatIsWrongInAProfile) {
  const auto refused = [](const std::string& keys, const std::string& message) {
    expect_error(study_text("[[profile]]\n" + keys), "experiments/k.toml:" + message);
  };
  refused("form = ['cached']", "7: [[profile]] has no 'methods'");
  refused("methods = ['clop']", "8: 'clop' is not a method");
  refused("methods = ['faprompt:papr']",
          "7: 'papr' is not a preset of faprompt; did you mean 'paper'?");
  refused("methods = 'clip'", "8: 'methods' is a string, expected a list");
  refused("methods = ['clip']\nform = ['cache']",
          "9: 'form' has 'cache', expected literal or cached; did you mean 'cached'?");
  refused("methods = ['clip']\nphase = ['test']", "9: 'phase' has 'test', expected train or infer");
  refused("methods = ['clip']\nbatch = 0", "9: 'batch' is 0, expected");
  refused("methods = ['clip']\nsteps = 0", "9: 'steps' is 0, expected");
  refused("methods = ['clip']\nwarm_up = 3",
          "9: 'warm_up' is not a key of [[profile]]; did you mean 'warmup'?");
}

TEST(ParseStudy, NamesASkippedSetThatIsNoneOfTheStudy) {
  expect_error(study_text("skip = { synth-c = ['a.png'] }"),
               "experiments/k.toml:7: 'skip.synth-c' is no data set of this study; did you mean");
  expect_error(study_text("skip = { bottles = ['a.png'] }"),
               "experiments/k.toml:7: 'skip.bottles' is no data set of this study; targets: ");
  // The command line may leave a set out.
  EXPECT_EQ(parse(study_text("skip = { elpv = ['a.png'] }"), {"targets=synth-b"}).skip.size(), 1U);
}

class StudyBase : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    write_file_atomically(folder_ / name, text);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  void expect_error(const std::string& name, const std::string& message) {
    EXPECT_THAT([&] { (void)load_study(folder_ / name); },
                ThrowsMessage<ConfigError>(StartsWith(message)));
  }

  TemporaryFolder folder_;
};

TEST_F(StudyBase, ASaysWhatBDoesNot) {
  write("shared/b.toml",
        "schema = 1\nbackbone = 'assay-tiny'\ntargets = ['elpv']\ndata = 'sets'\n"
        "seeds = [1, 2]\ntrain_on = { default = 'a', elpv = 'b' }\n"
        "[[sweep]]\nmethod = 'clip'\n[[sweep]]\nmethod = 'faprompt'\n");
  write("a.toml",
        "base = 'shared/b.toml'\nname = 'a'\nseeds = [3]\ntrain_on = 'c'\n"
        "[[sweep]]\nmethod = 'anomalyclip'\n");
  const Study study = load_study(folder_ / "a.toml");
  EXPECT_THAT(study.seeds, ElementsAre(3));
  EXPECT_THAT(study.targets, ElementsAre("elpv"));
  EXPECT_THAT(*study.train_on.find("elpv"), ElementsAre("c")) << "a key is replaced whole";
  ASSERT_THAT(study.sweeps, SizeIs(1));
  EXPECT_EQ(study.sweeps[0].method, "anomalyclip");
  EXPECT_EQ(study.dataset_root("elpv"), path("shared/sets/elpv"));
  EXPECT_THAT(study.text, HasSubstr("# base: " + path("shared/b.toml") + "\n# schema = 1\n"));
  EXPECT_EQ(parse_toml(study.text, "kept").entries.size(), 5U) << "bases are kept as comments";
}

TEST_F(StudyBase, AnErrorNamesTheFileWhereItIs) {
  write("b.toml",
        "schema = 1\ntargets = ['elpv']\nbackbone = 'assay-tiny'\ncolour = 1\n"
        "[[sweep]]\nmethod = 'faprompt'\ngrid = { K = [0] }\n");
  write("a.toml", "base = 'b.toml'\nname = 'a'\n");
  expect_error("a.toml", path("b.toml") + ":4: 'colour' is not a key of a study");
  write("b.toml",
        "schema = 1\ntargets = ['elpv']\nbackbone = 'assay-tiny'\n"
        "[[sweep]]\nmethod = 'faprompt'\ngrid = { K = [0] }\n");
  expect_error("a.toml", path("b.toml") + ":6: switch 'cap.K' of faprompt is 0, expected");
}

TEST_F(StudyBase, RefusesWhatIsNoBase) {
  write("a.toml", "name = 'a'\nbase = 'b.toml'\n");
  expect_error("a.toml", path("a.toml") + ":2: base 'b.toml': there is no file " + path("b.toml"));
  write("b.toml", "base = 'a.toml'\n");
  expect_error("a.toml", path("b.toml") + ":1: '" + path("a.toml") + "' is its own base");
  write("a.toml", "base = 3\n");
  expect_error("a.toml", path("a.toml") + ":1: 'base' is an integer, expected a study file");
}

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

TEST(ParseStudy, SaysWhichSeedsThereAre) {
  const std::string range = "expected a number of at least 0";
  std::string text = study_text();
  text.replace(text.find("[0, 1]"), 6, "[-1]");
  expect_error(text, "experiments/k.toml:6: 'seeds' is -1, " + range);
  expect_error(study_text("", "method = 'faprompt'\nseeds = [-7]"),
               "experiments/k.toml:10: 'seeds' is -7, " + range);
  expect_error(study_text(), "command line: 'seeds' is -1, " + range, {"seeds=-1"});
  text.replace(text.find("[-1]"), 4, "[18446744073709551616]");
  EXPECT_THAT([&] { (void)parse(text); },
              ThrowsMessage<ConfigError>(AllOf(StartsWith("experiments/k.toml:6: not TOML: "),
                                               HasSubstr("18446744073709551616"),
                                               HasSubstr("seed in [0, 9223372036854775807]"))));
  EXPECT_THAT([] { (void)parse(study_text(), {"seeds=1,18446744073709551616"}); },
              ThrowsMessage<ConfigError>(AllOf(StartsWith("command line"),
                                               HasSubstr("seed in [0, 9223372036854775807]"))));
}

TEST(ParseStudy, ASchemaOfTheFutureNeedsANewerBuild) {
  std::string text = study_text();
  text.replace(0, 10, "schema = 2");
  expect_error(text,
               "experiments/k.toml:1: 'schema' is 2, this build reads 1; the study needs a newer "
               "build of assay");
  text.replace(0, 10, "schema = 0");
  EXPECT_THAT(
      [&] { (void)parse(text); },
      ThrowsMessage<ConfigError>("experiments/k.toml:1: 'schema' is 0, this build reads 1"));
}

TEST(PlanFiles, SayWhereAMisspeltDataSetStands) {
  const TemporaryFolder folder;
  std::string text = study_text();
  text.replace(text.find("['synth-b', 'elpv']"), 19, "[\n'synth-b',\n'visaa']");
  text.replace(text.find('{'), text.find('}') + 1 - text.find('{'), "'mvtek'");
  Study study = parse(text);
  study.data.fallback = folder.path();
  PlanFiles files(study, folder / "w", folder.path());
  EXPECT_THAT([&] { (void)files.manifest("visaa", "test"); },
              ThrowsMessage<ConfigError>(StartsWith("experiments/k.toml:7: 'targets': 'visaa' is "
                                                    "not a data set; did you mean 'visa'?")));
  EXPECT_THAT([&] { (void)files.manifest("mvtek", "test"); },
              ThrowsMessage<ConfigError>(StartsWith("experiments/k.toml:4: 'train_on': 'mvtek' is "
                                                    "not a data set; did you mean 'mvtec'?")));
  // What the study has already is not what was meant.
  text = study_text();
  text.replace(text.find("['synth-b', 'elpv']"), 19, "['synth-c']");
  Study third = parse(text);
  third.data.fallback = folder.path();
  PlanFiles other_files(third, folder / "w", folder.path());
  EXPECT_THAT([&] { (void)other_files.manifest("synth-c", "test"); },
              ThrowsMessage<ConfigError>(
                  AllOf(StartsWith("experiments/k.toml:5: 'targets': 'synth-c' is not a data set;"),
                        Not(HasSubstr("did you mean 'synth")))));
}

TEST(ParseStudy, TakesAPrecisionForAllJobsOrByKind) {
  EXPECT_EQ(parse(study_text()).precision.find("train"), std::nullopt);
  EXPECT_EQ(parse(study_text("precision = 'bf16'")).precision.find("train"), "bf16");
  const Study by_kind = parse(study_text("precision = { default = 'tf32', encode = 'fp32' }"));
  EXPECT_EQ(by_kind.precision.find("encode"), "fp32");
  EXPECT_EQ(by_kind.precision.find("evaluate"), "tf32");
  EXPECT_EQ(parse(study_text(), {"precision=bf16"}).precision.find("encode"), "bf16");
  expect_error(study_text("precision = 'fp16'"),
               "experiments/k.toml:7: 'precision' is 'fp16', expected fp32, tf32 or bf16");
  expect_error(study_text("precision = { trian = 'bf16' }"),
               "experiments/k.toml:7: 'trian' is not a key of 'precision'; did you mean 'train'?; "
               "known: default, encode, train, evaluate, profile");
}

TEST(LoadStudy, NamesAFileThatIsNotThere) {
  EXPECT_THAT([] { (void)load_study("nowhere/s.toml"); },
              ThrowsMessage<ConfigError>(StartsWith("nowhere/s.toml: no such study file")));
}

TEST(LoadStudy, ReadsAFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "s.toml", study_text());
  EXPECT_EQ(load_study(folder / "s.toml").text, study_text());
}

TEST(Study, SaysHowToNameAFolderForADataSet) {
  EXPECT_THAT([] { (void)parse(study_text()).dataset_root("elpv"); },
              ThrowsMessage<ConfigError>(
                  StartsWith("experiments/k.toml: no folder is named for data set 'elpv'; add")));
}

}  // namespace
}  // namespace assay
