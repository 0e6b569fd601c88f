#include "runner/plan.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/runner/in_memory_inputs.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

class PlanTest : public ::testing::Test {
 protected:
  Plan plan(const std::string& sweeps, const std::string& keys = "", bool with_train_on = true) {
    study_ = parse_study("schema = 1\nname = 's'\nbackbone = 'assay-tiny'\n" +
                             std::string(with_train_on ? "train_on = 'synth-a'\n" : "") + keys +
                             "\n" + sweeps,
                         "s.toml");
    return make_plan(study_, inputs_);
  }

  void expect_refused(const std::string& sweeps,
                      const std::string& keys,
                      const std::string& message,
                      bool with_train_on = true) {
    EXPECT_THAT([&] { (void)plan(sweeps, keys, with_train_on); },
                ThrowsMessage<ConfigError>(HasSubstr(message)));
  }

  static std::vector<Job> of_kind(const Plan& plan, JobKind kind) {
    std::vector<Job> jobs;
    std::ranges::copy_if(plan.jobs, std::back_inserter(jobs),
                         [&](const Job& job) { return job.kind == kind; });
    return jobs;
  }

  InMemory inputs_;
  Study study_;
  const std::string targets_ = "targets = ['synth-b', 'elpv']\n";
  const std::string faprompt_ = "[[sweep]]\nmethod = 'faprompt:released'\n";
};

TEST_F(PlanTest, OneTrainingServesAllTargetsAndOneEncodingServesEverything) {
  const Plan p = plan(faprompt_ + "grid = { K = [1, 5] }\n", targets_ + "seeds = [0, 1, 2]");
  EXPECT_THAT(of_kind(p, JobKind::kEncode), SizeIs(3));  // synth-a, synth-b, elpv: test each.
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(2 * 3));
  EXPECT_THAT(of_kind(p, JobKind::kEvaluate), SizeIs(2 * 3 * 2));
  EXPECT_THAT(p.cells, SizeIs(12));
}

TEST_F(PlanTest, JobsComeAfterWhatTheyNeed) {
  const Plan p = plan(faprompt_ + "[[sweep]]\nmethod = 'clip'\n", targets_);
  std::set<std::string> before;
  for (const Job& job : p.jobs) {
    for (const std::string& id : job.dependencies) EXPECT_TRUE(before.contains(id));
    EXPECT_EQ(job.id, identity(job.spec()));
    EXPECT_TRUE(before.insert(job.id).second);
  }
}

TEST_F(PlanTest, EqualJobsOfSeveralSweepsAreOneButKeepTheirNames) {
  const Plan p = plan(
      "[[sweep]]\nmethod = 'faprompt:paper'\ngrid = { K = [10] }\n"
      "[[sweep]]\nmethod = 'faprompt'\nzip = { E = [5], E2 = [2] }\n",
      "targets = ['synth-b']\n");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(1));
  ASSERT_THAT(p.cells, SizeIs(2));
  EXPECT_EQ(p.cells[0].job, p.cells[1].job);
  EXPECT_EQ(p.cells[0].params, (json{{"cap.K", 10}}));
  EXPECT_EQ(p.cells[1].params, (json{{"cap.E", 5}, {"cap.Ep", 2}}));
}

TEST_F(PlanTest, NamesRowsOfAnAblationAndSharesTheJobsOfEqualOnes) {
  const Plan p = plan(
      "[[sweep]]\nmethod = 'anomalyclip'\n"
      "grid = { row = ['base', 'full', 'vv', 'without_dpam'] }\n",
      "targets = ['synth-b']\n");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(3));
  ASSERT_THAT(p.cells, SizeIs(4));
  EXPECT_EQ(p.cells[1].params, (json{{"row", "full"}}));
  EXPECT_EQ(p.cells[1].job, p.cells[2].job);
  EXPECT_THAT(p.notes, ElementsAre(HasSubstr("anomalyclip:paper row=base: row 'base' is a guess")));
}

// Of prompts that name the category.
TEST_F(PlanTest, KnowsAFileOfClassWordsByItsContent) {
  const TemporaryFolder folder;
  const std::string mine = (folder / "mine.csv").string(), copy = (folder / "copy.csv").string();
  write_file_atomically(mine, "dataset,category,word\nsynth-b,c,\"nut, of steel\"\n");
  write_file_atomically(copy, "dataset,category,word\nsynth-b,c,\"nut, of steel\"\n");
  const auto with_words = [&](const std::string& words) {
    return plan(
        "[[sweep]]\nmethod = 'anomalyclip'\ngrid = { object_test = ['cls'], "
        "'prompt.words' = [" +
            words + "] }\n",
        "targets = ['synth-b']\n");
  };
  const Plan p = with_words("'default', 'readable', '" + mine + "', '" + copy + "'");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(1));  // Trained on `object`.
  EXPECT_THAT(of_kind(p, JobKind::kEvaluate), SizeIs(3));
  ASSERT_THAT(p.cells, SizeIs(4));
  EXPECT_EQ(p.cells[2].job, p.cells[3].job);
  EXPECT_EQ(p.cells[2].params->at("prompt.words"), mine);
  EXPECT_EQ(p.job(p.cells[2].job).spec().at("switches").at("prompt.words"),
            (json{{"synth-b/c", "nut, of steel"}}));
  EXPECT_THAT([&] { (void)with_words("'" + mine + "x'"); },
              ThrowsMessage<ConfigError>(HasSubstr("'prompt.words' is '" + mine +
                                                   "x', expected default, readable, or a file")));
  write_file_atomically(copy, "dataset,category\nsynth-b,c\n");
  EXPECT_THAT([&] { (void)with_words("'" + copy + "'"); },
              ThrowsMessage<DataError>(HasSubstr("a row without 'word'")));
}

// spec/ablations.md 2.2: the printed image values of both rows are equal.
TEST_F(PlanTest, TrainsOnceWhereNoLossReadsThePatchesThatDiffer) {
  const Plan p = plan("[[sweep]]\nmethod = 'anomalyclip'\ngrid = { row = ['base', 'plus_t1'] }\n",
                      "targets = ['synth-b']\n");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(1));
  EXPECT_THAT(of_kind(p, JobKind::kEvaluate), SizeIs(2));
  std::vector<std::string> streams;
  for (const Job& job : of_kind(p, JobKind::kEncode)) {
    streams.push_back(job.spec().at("part").at("dataset").get<std::string>() + " " +
                      job.spec().at("encoder").at("features").at("streams").dump());
  }
  EXPECT_THAT(streams,
              UnorderedElementsAre("synth-a [\"vv\"]", "synth-b [\"qk\"]", "synth-b [\"vv\"]"));
}

TEST_F(PlanTest, EncodesNoTrainingImagesForZeroEpochs) {
  const Plan p = plan(
      "[[sweep]]\nmethod = 'anomalyclip'\ngrid = { epochs = [0], lr = [0.1, 1.0] }\n", targets_);
  EXPECT_THAT(of_kind(p, JobKind::kEncode), SizeIs(2));  // Of the targets.
  ASSERT_THAT(of_kind(p, JobKind::kTrain), SizeIs(1));
  EXPECT_THAT(of_kind(p, JobKind::kTrain)[0].dependencies, IsEmpty());
}

TEST_F(PlanTest, NotesFixedWordsThatDeepPromptsOverwrite) {
  const Plan p = plan(faprompt_ + "zip = { E = [2, 5], E2 = [1, 2] }\n", targets_);
  EXPECT_THAT(p.notes, ElementsAre(AllOf(HasSubstr("faprompt:released cap.E=2 cap.Ep=1: "),
                                         HasSubstr("overwrite rows 1 to 4"))));
}

TEST_F(PlanTest, ASweepOverAnInferenceSwitchSharesItsTraining) {
  const Plan p = plan(faprompt_ + "grid = { sigma = [0, 2, 4] }\n", "targets = ['synth-b']");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(1));
  EXPECT_THAT(of_kind(p, JobKind::kEvaluate), SizeIs(3));
}

TEST_F(PlanTest, TargetsAndEvalSizeDoNotReachATraining) {
  const Plan small = plan(faprompt_, "targets = ['synth-b']");
  const Plan large = plan(faprompt_, "targets = ['elpv']\neval_size = 256");
  EXPECT_EQ(of_kind(small, JobKind::kTrain)[0].id, of_kind(large, JobKind::kTrain)[0].id);
  EXPECT_EQ(large.cells[0].eval_size, 256);
}

// The README's list of what is inside and outside, by what a study can say.
TEST_F(PlanTest, AStudyKeyChangesIdentitiesExactlyWhereTheReadmeSaysSo) {
  const auto ids = [&](const std::string& keys, const std::string& sweep = "") {
    std::map<JobKind, std::set<std::string>> by_kind;
    for (const Job& job : plan("[[sweep]]\nmethod = 'anomalyclip:released'\n" + sweep,
                               "targets = ['synth-b']\n" + keys)
                              .jobs) {
      by_kind[job.kind].insert(job.id);
      EXPECT_THAT(job.spec_text.text(), ::testing::Not(HasSubstr("elsewhere")));
    }
    return by_kind;
  };
  const auto plain = ids("");
  for (const char* outside :
       {"data = '/elsewhere'", "weights = 'elsewhere'", "outputs = { heatmaps = 3 }",
        "allow_overlap = true", "seeds = [0]", "train_split = 'test'", "image_size = 128",
        "published_table = { paper = 'faprompt', table = '1' }"}) {
    EXPECT_EQ(ids(outside), plain) << outside;
  }
  EXPECT_EQ(ids("", "eval = { epochs = [15] }\n"), plain);
  const auto changed = [&](const std::map<JobKind, std::set<std::string>>& other) {
    std::string kinds;
    for (const auto& [kind, jobs] : plain) {
      std::vector<std::string> common;
      std::ranges::set_intersection(jobs, other.at(kind), std::back_inserter(common));
      if (common.empty()) kinds += std::string(to_string(kind)) + " ";
    }
    return kinds;
  };
  EXPECT_EQ(changed(ids("eval_size = 256")), "evaluate ");
  EXPECT_EQ(changed(ids("", "grid = { sigma = [9.0] }\n")), "evaluate ");
  EXPECT_EQ(changed(ids("seeds = [1]")), "train evaluate ");
  EXPECT_EQ(changed(ids("train_split = 'all'")), "train evaluate ");
  for (const char* training : {"epochs = [3]", "batch = [4]", "lr = [0.5]", "E = [3]"}) {
    EXPECT_EQ(changed(ids("", std::string("grid = { ") + training + " }\n")), "train evaluate ");
  }
  EXPECT_EQ(changed(ids("image_size = 64")), "encode train evaluate ");
}

TEST_F(PlanTest, EachPrecisionIsOtherJobsAndTheDefaultIsNone) {
  const auto ids_with = [&](const std::string& precision) {
    std::set<std::string> ids;
    for (const Job& job : plan(faprompt_, targets_ + precision).jobs) ids.insert(job.id);
    return ids;
  };
  const std::set<std::string> ids = ids_with("");
  EXPECT_EQ(ids_with("precision = 'fp32'"), ids);
  for (const std::string& id : ids_with("precision = 'bf16'")) EXPECT_FALSE(ids.contains(id));
  const std::string mixed = "precision = { default = 'bf16', encode = 'fp32' }";
  for (const Job& job : plan(faprompt_, targets_ + mixed).jobs) {
    EXPECT_EQ(ids.contains(job.id), job.kind == JobKind::kEncode) << job.spec_text.text();
  }
}

TEST_F(PlanTest, OtherImagesAreOtherJobs) {
  const Plan before = plan(faprompt_, "targets = ['synth-b']");
  inputs_.add("synth-b", "test", {"b/1 0", "b/2 1", "b/3 1"});
  const Plan after = plan(faprompt_, "targets = ['synth-b']");
  EXPECT_EQ(of_kind(before, JobKind::kTrain)[0].id, of_kind(after, JobKind::kTrain)[0].id);
  EXPECT_NE(of_kind(before, JobKind::kEvaluate)[0].id, of_kind(after, JobKind::kEvaluate)[0].id);
}

TEST_F(PlanTest, AMethodWithoutTrainingHasOneJobATargetWhateverTheSeeds) {
  const Plan p = plan("[[sweep]]\nmethod = 'clip'\n", targets_ + "seeds = [0, 1]", false);
  EXPECT_THAT(of_kind(p, JobKind::kTrain), IsEmpty());
  EXPECT_THAT(p.cells, SizeIs(2));
  EXPECT_EQ(p.cells[0].seed, std::nullopt);
  EXPECT_EQ(p.cells[0].train_dataset, "");
  EXPECT_EQ(p.cells[0].protocol->at("train_sets"), "none");
}

TEST_F(PlanTest, TheSplitIsThePresetsUnlessTheStudyOrTheSweepSaysOtherwise) {
  const auto train_parts = [&](const std::string& preset, const std::string& keys,
                               const std::string& grid = "") {
    const Plan p = plan("[[sweep]]\nmethod = 'faprompt:" + preset + "'\n" + grid,
                        "targets = ['synth-b']\n" + keys);
    return train_spec_from_json(of_kind(p, JobKind::kTrain).at(0).spec()).parts.size();
  };
  EXPECT_EQ(train_parts("released", ""), 1U);  // test
  EXPECT_EQ(train_parts("paper", ""), 2U);     // all
  EXPECT_EQ(train_parts("paper", "train_split = 'test'"), 1U);
  EXPECT_EQ(train_parts("released", "train_split = { synth-a = 'all' }"), 2U);
  EXPECT_EQ(train_parts("released", "train_split = 'test'", "grid = { 'train.split' = ['all'] }"),
            2U);
}

TEST_F(PlanTest, ASetWithoutATrainSplitHasTheSameJobForAllAndTest) {
  const std::string keys = "train_on = 'isic'\ntargets = ['synth-b']\n";
  const Plan test = plan(faprompt_, keys + "train_split = 'test'", false);
  const Plan all = plan(faprompt_, keys + "train_split = 'all'", false);
  EXPECT_EQ(of_kind(test, JobKind::kTrain)[0].id, of_kind(all, JobKind::kTrain)[0].id);
}

TEST_F(PlanTest, AListOfSetsIsOneTrainingWhateverItsOrder) {
  const std::string keys = "targets = ['synth-b']\n";
  const Plan one = plan(faprompt_, keys + "train_on = ['synth-a', 'isic']", false);
  const Plan two = plan(faprompt_, keys + "train_on = ['isic', 'synth-a']", false);
  EXPECT_EQ(of_kind(one, JobKind::kTrain)[0].id, of_kind(two, JobKind::kTrain)[0].id);
  EXPECT_EQ(one.cells[0].train_dataset, "isic+synth-a");
}

TEST_F(PlanTest, EachTargetTrainsOnItsOwnEntry) {
  const Plan p = plan(faprompt_,
                      "train_on = { default = 'synth-a', synth-a = 'synth-b' }\n"
                      "targets = ['synth-a', 'elpv']",
                      false);
  EXPECT_EQ(p.cells[0].train_dataset, "synth-b");
  EXPECT_EQ(p.cells[1].train_dataset, "synth-a");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(2));
}

// spec/ablations.md 4.1: TPS, Table 3.
TEST_F(PlanTest, ATrainingPerLevelGivesEachLevelItsOwnNumbers) {
  const Plan p = plan("[[sweep]]\nmethod = 'anomalyclip'\n",
                      "train_on = { image = 'synth-a', pixel = { default = 'isic', elpv = "
                      "'synth-a' } }\ntargets = ['synth-b', 'elpv']",
                      false);
  ASSERT_THAT(p.cells, SizeIs(3));
  EXPECT_EQ(p.cells[0].level, "image");
  EXPECT_EQ(p.cells[0].train_dataset, "synth-a");
  EXPECT_EQ(p.cells[1].level, "pixel");
  EXPECT_EQ(p.cells[1].train_dataset, "isic");
  EXPECT_EQ(p.cells[2].level, "") << "equal sets are one training";
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(2));
}

TEST_F(PlanTest, AnEnsembleIsOneJobOverItsCheckpoints) {
  const std::string sweep = "[[sweep]]\nmethod = 'anomalyclip'\nseeds = [4, 3, 2, 1]\n";
  const Plan p = plan(sweep + "ensemble = { n = 2 }\n", "targets = ['synth-b']");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(4));
  ASSERT_THAT(of_kind(p, JobKind::kEvaluate), SizeIs(2));
  const Job first = of_kind(p, JobKind::kEvaluate)[0];
  const EvaluateSpec spec = evaluate_spec_from_json(first.spec());
  EXPECT_EQ(spec.combine, "prototype");
  ASSERT_THAT(spec.checkpoints, SizeIs(2));
  EXPECT_LT(spec.checkpoints[0], spec.checkpoints[1]);
  EXPECT_EQ(first.id, identity(to_json(spec)));
  EXPECT_THAT(first.dependencies, SizeIs(3));
  EXPECT_EQ(p.cells[1].seed, 2);
  EXPECT_EQ(p.cells[1].params->at("ensemble"), "prototype");
  // Whatever the order of the seeds; another rule is another job; members are shared with others.
  const Plan other = plan(
      "[[sweep]]\nmethod = 'anomalyclip'\nseeds = [3, 4]\nensemble = {}\n"
      "[[sweep]]\nmethod = 'anomalyclip'\nseeds = [3, 4]\n"
      "ensemble = { combine = 'scores' }\n" +
          sweep,
      "targets = ['synth-b']");
  EXPECT_EQ(other.cells[0].job, first.id);
  EXPECT_NE(other.cells[1].job, first.id);
  EXPECT_THAT(of_kind(other, JobKind::kTrain), SizeIs(4));
  EXPECT_THAT(of_kind(other, JobKind::kEvaluate), SizeIs(2 + 4));
}

TEST_F(PlanTest, AnEpochOfACurveIsAShorterTrainingFromWhichTheLongerGoesOn) {
  const std::string sweep = "[[sweep]]\nmethod = 'anomalyclip'\n";
  const Plan p = plan(sweep + "eval = { epochs = [10, 5, 15, 0] }\n", "targets = ['synth-b']");
  const std::vector<Job> trainings = of_kind(p, JobKind::kTrain);
  ASSERT_THAT(trainings, SizeIs(4));
  EXPECT_EQ(trainings[1].spec().at("epochs"), 5);
  EXPECT_EQ(trainings[1].continues, "") << "the first parameters are no state";
  EXPECT_EQ(trainings[2].spec().at("epochs"), 10);
  EXPECT_EQ(trainings[2].hints().at("continues"), trainings[1].id);
  EXPECT_THAT(trainings[2].dependencies, ::testing::Contains(trainings[1].id));
  EXPECT_TRUE(trainings[2].hints().at("keeps_state"));
  EXPECT_FALSE(trainings[3].hints().contains("keeps_state"));
  ASSERT_THAT(p.cells, SizeIs(4));
  EXPECT_EQ(p.cells[1].epoch, 5);
  EXPECT_EQ(p.cells[3].epoch, std::nullopt);
  EXPECT_EQ(p.cells[1].params, p.cells[3].params);

  const Plan plain = plan(sweep + "grid = { epochs = [5, 15] }\n", "targets = ['synth-b']");
  EXPECT_EQ(plain.cells[0].job, p.cells[1].job) << "the same jobs under another name";
  EXPECT_EQ(plain.cells[1].job, p.cells[3].job);
  EXPECT_THAT(plan(sweep + "eval = { epochs = 'all' }\n", "targets = ['synth-b']").cells,
              SizeIs(15));
  expect_refused(sweep + "eval = { epochs = [20] }\n", "targets = ['synth-b']",
                 "s.toml:6: 'eval.epochs' has 20, but anomalyclip:paper trains 15 epochs");
}

TEST_F(PlanTest, TheAuxiliarySetIsEvaluatedForCurvesOnly) {
  const Plan p = plan("[[sweep]]\nmethod = 'anomalyclip'\neval = { on_train = true }\n", targets_);
  ASSERT_THAT(p.cells, SizeIs(3));
  EXPECT_EQ(p.cells[2].dataset, "synth-a");
  EXPECT_TRUE(p.cells[2].on_train);
  EXPECT_EQ(p.cells[2].overlap, 0);
  EXPECT_TRUE(p.cells[2].for_curves());
}

TEST_F(PlanTest, ProfilesAreJobsOfThisMachineAndBuildAndNeedNoOthers) {
  inputs_.add("synth-b", "test", {"b/1 0", "b/2 1", "b/3 1"});
  const Plan p =
      plan("[[profile]]\nmethods = ['anomalyclip', 'clip', 'anomalyclip:paper']\nbatch = 3\n",
           "targets = ['synth-b', 'elpv']\nprecision = { profile = 'bf16' }");
  ASSERT_THAT(p.jobs, SizeIs(2 * 4)) << "anomalyclip is anomalyclip:paper";
  EXPECT_THAT(p.cells, IsEmpty());
  std::set<std::string> labels;
  for (const Job& job : p.jobs) {
    const ProfileSpec spec = profile_spec_from_json(job.spec());
    EXPECT_EQ(job.kind, JobKind::kProfile);
    EXPECT_EQ(job.id, identity(job.spec()));
    EXPECT_THAT(job.dependencies, IsEmpty());
    EXPECT_EQ(spec.part.dataset, "synth-b") << "the first target";
    EXPECT_EQ(spec.host, "here");
    EXPECT_EQ(spec.build, "build");
    EXPECT_EQ(spec.device, "cpu");
    EXPECT_EQ(spec.precision, "bf16");
    EXPECT_EQ(spec.encoder.precision, "bf16");
    EXPECT_EQ(spec.batch, spec.phase == "train" ? 3 : 1);
    EXPECT_EQ(spec.steps, spec.phase == "train" ? 100 : 200);
    EXPECT_EQ(spec.warmup, 20);
    EXPECT_EQ(job.work, spec.phase == "train" ? 360 : 220);
    labels.insert(job_labels(p).at(job.id));
  }
  EXPECT_THAT(labels, ::testing::Contains("profile anomalyclip infer literal synth-b (test)"));
  const PlanSummary summary = summarise(study_, p);
  ASSERT_THAT(summary.kinds, SizeIs(1));
  EXPECT_THAT(to_text(summary), HasSubstr("profile"));
}

TEST_F(PlanTest, AProfileNeedsAWholeBatchOfImages) {
  expect_refused("[[profile]]\nmethods = ['anomalyclip']\n", "targets = ['synth-b']",
                 "s.toml:6: 'batch' is 8, but synth-b, of which it is taken, has 2 test images");
  EXPECT_THAT(
      plan("[[profile]]\nmethods = ['clip']\nphase = ['infer']\n", "targets = ['synth-b']").jobs,
      SizeIs(2));
}

TEST_F(PlanTest, LabelsSayWhatAJobIs) {
  const Plan p = plan(
      "[[sweep]]\nmethod = 'anomalyclip'\ngrid = { E = [4] }\nseeds = [7]\n"
      "eval = { epochs = [5] }\n",
      "targets = ['synth-b']");
  const auto labels = job_labels(p);
  EXPECT_EQ(labels.at(of_kind(p, JobKind::kEncode)[0].id), "encode synth-a (test)");
  EXPECT_EQ(labels.at(of_kind(p, JobKind::kTrain)[0].id),
            "train anomalyclip:paper prompt.E=4 epoch 5 seed 7 on synth-a");
  EXPECT_EQ(labels.at(of_kind(p, JobKind::kEvaluate)[1].id),
            "evaluate anomalyclip:paper prompt.E=4 seed 7 on synth-b");
}

TEST_F(PlanTest, ATargetThatIsItsOwnTrainingSetIsRefusedWithTheMissingKey) {
  expect_refused(faprompt_, "targets = ['synth-b', 'synth-a']",
                 "s.toml:4: target 'synth-a' is its own training set; give it an entry of its own: "
                 "train_on = { default = \"synth-a\", synth-a = \"ANOTHER SET\" }");
}

TEST_F(PlanTest, ATrainedMethodWithoutATrainingSetIsRefused) {
  expect_refused(faprompt_, "targets = ['synth-b']",
                 "s.toml: faprompt is trained, but 'train_on' names no set for target 'synth-b'",
                 false);
}

TEST_F(PlanTest, TrainingImagesInATargetAreFoundByContentAndRefusedWithTheirNumber) {
  inputs_.add("synth-b", "test", {"b/1 0", "a/4 1", "a/5 1"});
  expect_refused(faprompt_, "targets = ['synth-b']",
                 "2 of the 3 images of target 'synth-b' are also in its training set synth-a (the "
                 "first: a/4)");
}

TEST_F(PlanTest, OverlapThatIsAllowedMarksItsCells) {
  inputs_.add("synth-b", "test", {"b/1 0", "a/4 1", "a/5 1"});
  const Plan p = plan(faprompt_, targets_ + "allow_overlap = true");
  EXPECT_EQ(p.cells[0].overlap, 2);
  EXPECT_EQ(p.cells[1].overlap, 0);
  EXPECT_THAT(p.notes, ElementsAre(HasSubstr("2 of the 3 images of target synth-b are also")));
}

// cases.md J04.
TEST_F(PlanTest, TrainingOnASetWithoutMasksIsRefusedWithSetMethodAndLoss) {
  const std::string keys = "train_on = 'elpv'\ntargets = ['synth-b']\n";
  expect_refused(faprompt_, keys,
                 "data set 'elpv' has no masks, and loss.local_weights of faprompt:released needs "
                 "them",
                 false);
  expect_refused("[[sweep]]\nmethod = 'anomalyclip'\n", keys,
                 "data set 'elpv' has no masks, and loss.focal, loss.dice of anomalyclip:", false);
}

TEST_F(PlanTest, ASwitchThatSaysWhatToDoWithoutMasksIsObeyedAndInTheIdentity) {
  const Plan p = plan(faprompt_ + "grid = { no_mask = ['skip', 'zero'] }\n",
                      "train_on = 'elpv'\ntargets = ['synth-b']\n", false);
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(2));
}

TEST_F(PlanTest, ASwitchForSetsWithoutMasksIsIdleWhereAllHaveMasks) {
  const Plan p =
      plan(faprompt_ + "grid = { no_mask = ['skip', 'zero'] }\n", "targets = ['synth-b']");
  EXPECT_THAT(of_kind(p, JobKind::kTrain), SizeIs(1));
}

TEST_F(PlanTest, ATrainingWithNothingToLearnIsRefused) {
  inputs_.add("headct", "test", {"h/1 1", "h/2 1"}, /*has_masks=*/false);
  expect_refused(faprompt_ + "grid = { no_mask = ['skip'] }\n",
                 "train_on = 'headct'\ntargets = ['synth-b']\n",
                 "nothing to learn for faprompt:released from headct", false);
  // Masks, but no loss that reads them, and one label.
  expect_refused("[[sweep]]\nmethod = 'anomalyclip'\nzip = { focal = [false], dice = [false] }\n",
                 "train_on = 'isic'\ntargets = ['synth-b']\n",
                 "nothing to learn for anomalyclip:paper from isic", false);
}

TEST_F(PlanTest, TellsWhatAWorkerNeedsBesideTheIdentity) {
  const Plan p = plan(faprompt_, "targets = ['synth-b']");
  const Job train = of_kind(p, JobKind::kTrain)[0];
  EXPECT_EQ(train.hints().at("preset"), "released");
  EXPECT_EQ(train.hints().at("plan").at("work"), train.work);
  EXPECT_EQ(train.hints().at("switches").at("cap.K"), 10);
  const TrainSpec spec = train_spec_from_json(train.spec());
  EXPECT_EQ(spec.epochs, 7);
  EXPECT_EQ(spec.batch, 8);
  EXPECT_EQ(train.work, 7.0 * 3);
}

TEST_F(PlanTest, GivesTheStoreItsRecords) {
  const TemporaryFolder folder;
  const Plan p = plan(faprompt_, targets_);
  Store store(folder / "store.db");
  store.record_study({study_.name, "s.toml", study_.text}, job_records(p), p.cells);
  EXPECT_EQ(store.cells("s"), p.cells);
  EXPECT_EQ(store.jobs("s").size(), p.jobs.size());
}

TEST_F(PlanTest, SummarisesWhatIsDoneSharedAndExpected) {
  const Plan p = plan(faprompt_, targets_ + "seeds = [0, 1]");
  const Job encode = of_kind(p, JobKind::kEncode)[0];  // elpv or synth-b: shared by two seeds.
  const std::map<std::string, double> costs = {{"encode/assay-tiny/128", 10},
                                               {"evaluate/faprompt/assay-tiny/128/128", 2}};
  const PlanSummary summary =
      summarise(study_, p, {.done = {encode.id}, .seconds_per_work = costs});
  ASSERT_THAT(summary.kinds, SizeIs(3));
  EXPECT_EQ(summary.kinds[0].jobs, 3);
  EXPECT_EQ(summary.kinds[0].done, 1);
  EXPECT_EQ(summary.kinds[0].shared, 3);
  EXPECT_DOUBLE_EQ(*summary.kinds[0].remaining_seconds, 10 * (2 + 3 + 2) - 10 * encode.work);
  EXPECT_EQ(summary.kinds[1].remaining_seconds, std::nullopt);
  EXPECT_DOUBLE_EQ(*summary.kinds[2].remaining_seconds, 2 * 4 * 2.0);
  EXPECT_THAT(to_text(summary, 2), AllOf(HasSubstr("study s: 4 cells"),
                                         HasSubstr("unknown before the first measurement")));
  EXPECT_EQ(to_json(summary)["kinds"][1]["remaining_seconds"], nullptr);
}

TEST_F(PlanTest, ExpectsTheTimeOfAllGangsTogether) {
  const Plan p = plan("[[sweep]]\nmethod = 'clip'\n", "targets = ['synth-b']", false);
  const std::map<std::string, double> costs = {{"encode/assay-tiny/128", 100},
                                               {"evaluate/clip/assay-tiny/128/128", 20}};
  const PlanSummary open = summarise(study_, p, {.seconds_per_work = costs});
  EXPECT_THAT(to_text(open, 2), HasSubstr("expected: 2 min with 2 gangs"));
  const PlanSummary done = summarise(study_, p,
                                     {.done = {p.jobs[0].id, p.jobs[1].id},
                                      .others = {{"other", {p.jobs[0].id, "unknown"}}},
                                      .seconds_per_work = costs});
  EXPECT_THAT(to_text(done), HasSubstr("nothing to do: everything is done"));
  EXPECT_EQ(done.kinds[0].shared, 0);
  EXPECT_EQ(done.kinds[0].elsewhere, 1);
  EXPECT_THAT(to_text(done), HasSubstr("shared with study other: 1 job\n"));
}

}  // namespace
}  // namespace assay
