// What people are told about a study file that is wrong.

#include "runner/plan.h"
#include "tests/runner/study_text.h"
#include "tests/support/temporary_folder.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

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

TEST(LoadStudy, NamesAFileThatIsNotThere) {
  EXPECT_THAT([] { (void)load_study("nowhere/s.toml"); },
              ThrowsMessage<ConfigError>(StartsWith("nowhere/s.toml: no such study file")));
}

TEST(Study, SaysHowToNameAFolderForADataSet) {
  EXPECT_THAT([] { (void)parse(study_text()).dataset_root("elpv"); },
              ThrowsMessage<ConfigError>(
                  StartsWith("experiments/k.toml: no folder is named for data set 'elpv'; add")));
}

}  // namespace
}  // namespace assay
