// What whole studies give: tables of every kind of sweep, what changed, what people get wrong.

#include "tests/runner/study_run.h"

#include "runner/lease.h"

#include <unistd.h>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(StudyRunTest, RunsPrintsATableAndResumesWithoutStartingAnything) {
  write_study("outputs = { heatmaps = 2 }\n" + std::string(kStudy));
  const CommandResult first = run(2);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, AllOf(HasSubstr("anomalyclip"), HasSubstr("synth-b")));
  EXPECT_THAT(first.err, HasSubstr("6 of 6 jobs done (0 before), 0 failed"));
  EXPECT_EQ(numbers(), undisturbed_numbers()) << "two ranks give the numbers of one";
  EXPECT_TRUE(std::filesystem::exists(workspace().root / "heatmaps/synth-b/clip-paper"));
  const auto before = attempts();

  const CommandResult second = run(2);
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_THAT(second.err, HasSubstr("6 of 6 jobs done (6 before)"));
  EXPECT_EQ(attempts(), before);
  EXPECT_EQ(second.out, first.out);

  const CommandResult status = assay({"status"});
  EXPECT_EQ(status.exit_code, 0) << status.err;
  EXPECT_THAT(status.out, AllOf(HasSubstr("idle"), HasSubstr("2 of 2 done")));
  const nlohmann::json jobs =
      nlohmann::json::parse(assay({"status", "--jobs", "--json"}).out)["jobs"];
  ASSERT_EQ(jobs.size(), 6U);
  EXPECT_EQ(assay({"log", jobs[0]["id"].get<std::string>().substr(0, 10)}).exit_code, 0);
}

TEST_F(StudyRunTest, RowsOfAblationsAndClassWordsReachTheNumbers) {
  std::string words = "dataset,category,word\n";
  for (const auto& category : std::filesystem::directory_iterator(small_drawings() / "synth-b")) {
    words += "synth-b," + category.path().filename().string() + ",rusty nail\n";
  }
  write_file_atomically(folder_ / "words.csv", words);
  const std::string head(kStudy);
  write_study(head.substr(0, head.find("[[sweep]]")) + R"(
[[sweep]]
method = "anomalyclip:released"
grid = { epochs = [2] }
[[sweep]]
method = "faprompt:paper"
grid = { row = ["base"], epochs = [2] }
[[sweep]]
method = "anomalyclip"
grid = { row = ["local0_global0"] }
[[sweep]]
method = "anomalyclip"
grid = { epochs = [0], object_test = ["cls"], "prompt.words" = ["default", "words.csv"] }
)");
  const CommandResult ran = run(2);
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  std::map<std::string, std::vector<std::optional<double>>> values;  // By row of the table.
  const Store store(workspace().store());
  const std::vector<StudyCell> cells = store.cells("tiny");
  for (const MetricValue& value : store.metric_values("tiny")) {
    const StudyCell& cell = cells.at(static_cast<std::size_t>(value.position));
    values[cell.method + " " + cell.params->dump()].push_back(value.row.value);
  }
  ASSERT_EQ(values.size(), 5U);
  EXPECT_EQ(values.at(R"(faprompt {"row":"base","train.epochs":2})"),
            values.at(R"(anomalyclip {"train.epochs":2})"));
  const std::string untrained = R"(anomalyclip {"prompt.object_test":"cls","prompt.words":)";
  EXPECT_NE(values.at(untrained + R"("default","train.epochs":0})"),
            values.at(untrained + R"("words.csv","train.epochs":0})"));
  EXPECT_NE(values.at(untrained + R"("default","train.epochs":0})"),
            values.at(R"(anomalyclip {"row":"local0_global0"})"));
}

TEST_F(StudyRunTest, EnsemblesCurvesAndTrainingsPerLevelReachTheTable) {
  const std::string head(kStudy);
  const std::string keys = head.substr(0, head.find("[[sweep]]"));
  const std::string sweep = "[[sweep]]\nmethod = \"anomalyclip\"\n";
  write_study(keys + sweep + "grid = { epochs = [4] }\nseeds = [0, 1]\nensemble = {}\n" + sweep +
              "grid = { epochs = [4] }\nseeds = [0, 1]\nensemble = { combine = \"scores\" }\n" +
              sweep + "grid = { epochs = [4] }\neval = { epochs = [2], on_train = true }\n");
  const CommandResult ran = run(2);
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("ensemble=prototype"), HasSubstr("ensemble=scores")));
  const std::string curves = assay({"table", study().string(), "--curves", "-f", "csv"}).out;
  EXPECT_THAT(curves, AllOf(HasSubstr(",synth-a,image,auroc,"), HasSubstr(",2\n"),
                            HasSubstr(",4\n"), Not(HasSubstr("ensemble"))));
  const std::string table = numbers();
  EXPECT_THAT(table, Not(HasSubstr("synth-a,image")));

  // A training that went on from the state of a shorter one has the bits of one that did not.
  const auto checkpoints = [&] {
    std::map<std::string, std::string> digests;  // By epochs and seed.
    const Store store(workspace().store());
    for (const JobStatus& job : store.jobs()) {
      if (job.kind != "train") continue;
      const auto spec = nlohmann::json::parse(store.job(job.id).spec);
      digests[spec["epochs"].dump() + " " + spec["seed"].dump()] =
          store.result(job.id)->at("checkpoint_sha256");
    }
    return digests;
  };
  const auto continued = checkpoints();
  ASSERT_EQ(continued.size(), 3U);
  std::filesystem::remove_all(workspace().root);
  write_study(keys + sweep + "grid = { epochs = [4] }\n");
  ASSERT_EQ(run(1).exit_code, 0);
  EXPECT_EQ(checkpoints().at("4 0"), continued.at("4 0"));

  std::string per_level = keys;
  per_level.replace(per_level.find("\"synth-a\""), 9,
                    "{ image = \"synth-a\", pixel = \"synth-b\" }");
  write_study("allow_overlap = true\n" + per_level + sweep + "grid = { epochs = [4] }\n");
  const CommandResult levels = run(1);
  ASSERT_EQ(levels.exit_code, 0) << levels.err;
  EXPECT_THAT(levels.err, HasSubstr("6 of 6 jobs done (4 before)")) << "the image level is known";
  EXPECT_THAT(levels.err, HasSubstr("72 of the 72 images of target synth-b are also in its"));
}

TEST_F(StudyRunTest, AStudyThatChangedRunsOnlyWhatChanged) {
  ASSERT_EQ(run().exit_code, 0);
  std::string changed = kStudy;
  changed.replace(changed.find("[10]"), 4, "[10, 3]");
  write_study(changed);
  const CommandResult second = run();
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("8 of 8 jobs done (6 before)"));
  EXPECT_EQ(attempts().count("encode"), 3U);
  EXPECT_EQ(attempts().count("train"), 2U);
  EXPECT_EQ(attempts().count("evaluate"), 3U);
  write_study(kStudy);
  EXPECT_THAT(run().err, HasSubstr("6 of 6 jobs done (6 before)"));
  EXPECT_EQ(numbers(), undisturbed_numbers()) << "what is not wanted any more is not shown";
}

TEST_F(StudyRunTest, ARunWithOtherValuesTakesNothingFromTheStudy) {
  ASSERT_EQ(run().exit_code, 0);
  const CommandResult other = start_run(1, -1, {"train.epochs=3"})->wait();
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.err, HasSubstr("6 of 6 jobs done (4 before)"));
  EXPECT_THAT(assay({"store", "gc"}).out, Not(HasSubstr("no study needs")));
  EXPECT_EQ(numbers(), undisturbed_numbers());
  EXPECT_EQ(assay({"table", study(), "train.epochs=3"}).out, other.out);
  EXPECT_THAT(assay({"table", study(), "train.epochs=4"}).err,
              HasSubstr("what ran: 'tiny', 'tiny train.epochs=3'"));
  const auto explained = assay({"explain", study(), "anomalyclip", "synth-b", "train.epochs=3"});
  EXPECT_EQ(explained.exit_code, 0) << explained.err;
  write_study(std::string(kStudy) + "# A word.\n");
  EXPECT_THAT(assay({"table", study()}).err, HasSubstr("was changed since it was run here"));
}

TEST_F(StudyRunTest, NotANumberFailsItsJobAndNoOther) {
  write_study(std::string(kStudy) +
              "[[sweep]]\nmethod = \"anomalyclip\"\n"
              "grid = { \"train.lr\" = [1e30] }\n");
  const CommandResult result = run(2);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("failed: train anomalyclip:paper"), HasSubstr("step"),
                                HasSubstr("needs job"), HasSubstr("6 of 8 jobs done")));
  const CommandResult log = assay({"log", "--failed"});
  EXPECT_THAT(log.err, HasSubstr("failed"));
}

TEST_F(StudyRunTest, ATruncatedImageFailsWhatReadsItByName) {
  data_ = folder_ / "data";
  std::filesystem::copy(small_drawings(), data_, std::filesystem::copy_options::recursive);
  std::filesystem::path image;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data_ / "synth-b")) {
    const std::string path = entry.path().string();
    const bool picture = entry.path().extension() == ".JPG" || entry.path().extension() == ".png";
    if (picture && path.find("Anomaly") != std::string::npos &&
        path.find("Images") != std::string::npos) {
      image = entry.path();
    }
  }
  ASSERT_FALSE(image.empty());
  std::filesystem::resize_file(image, std::filesystem::file_size(image) / 2);
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr(image.filename().string()));
  EXPECT_THAT(result.err, HasSubstr("train anomalyclip:paper train.epochs=10 seed 0 on synth-a ("));

  const std::string bad = std::filesystem::relative(image, data_ / "synth-b").string();
  write_study("skip = { synth-b = ['" + bad + "'] }\n" + kStudy);
  const CommandResult without = run();
  EXPECT_EQ(without.exit_code, 0) << without.err;
  EXPECT_THAT(assay({"table", study().string()}).out, HasSubstr(bad + " left out by 'skip'"));

  write_study(std::string("skip = { synth-b = ['no/such.png'] }\n") + kStudy);
  const CommandResult unknown = run();
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("'no/such.png', which is no image below"));
}

TEST_F(StudyRunTest, LeavesTheCallersInputAlone) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Descriptor in(ends[0]), out(ends[1]);
  ASSERT_EQ(::write(out.get(), "b.toml\n", 7), 7);
  EXPECT_EQ(start_run(2, in.get())->wait().exit_code, 0);
  char left[16] = {};
  EXPECT_EQ(::read(in.get(), left, sizeof left), 7);
}

TEST_F(StudyRunTest, WrongInputIsRefusedBeforeAnythingRuns) {
  write_study("schema = 1\nname = \"x\"\ntargets = [\"synth-b\"]\nmethd = 1\n");
  const CommandResult key = run();
  EXPECT_EQ(key.exit_code, 2);
  EXPECT_THAT(key.err, HasSubstr("study.toml:4: 'methd'"));

  write_study("schema = 1\nname = \"x\"\ntargets = [\"synth-b\"]\n[[sweep]]\nmethod = \"clip\"\n");
  const CommandResult weights = run();
  EXPECT_EQ(weights.exit_code, 2);
  EXPECT_THAT(weights.err, AllOf(HasSubstr("clip-vit-l-14-336"), HasSubstr("weights")));
  EXPECT_FALSE(std::filesystem::exists(workspace().store()));
}

TEST_F(StudyRunTest, OneJobByHandUnderMpirunIsFoundByAStudy) {
  std::vector<std::string> line = {"mpirun", "-np", "2"};
  for (const std::string& word :
       command({"train", "anomalyclip", "train.epochs=10", "--train-on", "synth-a", "--image-size",
                "64", "--data", small_drawings().string()})) {
    line.push_back(word);
  }
  const CommandResult by_hand = RunningCommand(line, folder_ / "out", mpirun_environment()).wait();
  EXPECT_EQ(by_hand.exit_code, 0) << by_hand.err;
  EXPECT_EQ(run().exit_code, 0);
  EXPECT_EQ(attempts().count("train"), 0U);
  EXPECT_EQ(numbers(), undisturbed_numbers());
}

TEST_F(StudyRunTest, AMissingWorkerProgramIsNamedBeforeAnythingRuns) {
  std::filesystem::copy_file(std::string(ASSAY_BINARY_DIR) + "/assay", folder_ / "assay");
  const CommandResult result =
      RunningCommand({folder_ / "assay", "run", study(), "-w", workspace().root}, folder_ / "out")
          .wait();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr((folder_ / "assay-worker").string() + ": cannot be executed"));
  EXPECT_FALSE(std::filesystem::exists(workspace().root));
}

TEST_F(StudyRunTest, AWordThatIsNoCommandIsNamed) {
  const CommandResult result = assay({"tabel"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("'tabel'"), HasSubstr("did you mean 'table'?")));
}

TEST_F(StudyRunTest, WeightsAreCheckedAgainstTheirBackbone) {
  const auto backbone = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {std::string(ASSAY_BINARY_DIR) + "/assay", "backbone"});
    return RunningCommand(arguments, folder_ / "out").wait();
  };
  const CommandResult tiny = backbone({"check", "assay-tiny"});
  EXPECT_EQ(tiny.exit_code, 0) << tiny.err;
  EXPECT_THAT(tiny.out, AllOf(HasSubstr("8 blocks of width 128"), HasSubstr("SHA-256")));

  const std::string weights = folder_ / "weights";
  const CommandResult none = backbone({"check", "clip-vit-b-16", "--weights", weights});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr(weights + "/clip-vit-b-16.safetensors"));

  const std::string file =
      std::string(ASSAY_SOURCE_DIR) + "/registry/assay-tiny/assay-tiny.safetensors";
  const CommandResult other = backbone({"import", "clip-vit-b-16", file, "--weights", weights});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("vision width 128, backbone 'clip-vit-b-16' has 768"));
  EXPECT_TRUE(std::filesystem::is_empty(weights));
}

}  // namespace
}  // namespace assay
