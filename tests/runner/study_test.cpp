// What a study file says, and how it is read.

#include "core/file.h"
#include "runner/toml_reader.h"
#include "tests/runner/study_text.h"
#include "tests/support/temporary_folder.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

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

TEST(LoadStudy, ReadsAFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "s.toml", study_text());
  EXPECT_EQ(load_study(folder / "s.toml").text, study_text());
}

}  // namespace
}  // namespace assay
