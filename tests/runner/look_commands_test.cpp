// The commands that look at what a run has left, as a person types them.

#include "core/file.h"
#include "runner/lease.h"
#include "tests/runner/finished_workspace.h"
#include "tests/support/command.h"

#include <gmock/gmock.h>
#include <sys/mount.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace assay {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class LookCommands : public ::testing::Test, protected FinishedWorkspace {
 protected:
  LookCommands() {
    const Study finished = study("s", "[1, 5]");
    plan_ = run(finished);
    write_file_atomically(study_file(), finished.text);
  }

  [[nodiscard]] std::string study_file() const { return folder_ / "s.toml"; }
  [[nodiscard]] std::vector<std::string> words(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), std::string(ASSAY_BINARY_DIR) + "/assay");
    arguments.insert(arguments.end(), {"-w", workspace_.root.string()});
    return arguments;
  }
  [[nodiscard]] CommandResult assay(const std::vector<std::string>& arguments) const {
    std::filesystem::create_directories(folder_ / "out");
    return RunningCommand(words(arguments), folder_ / "out").wait();
  }
  [[nodiscard]] std::string job(JobKind kind, std::size_t number = 0) const {
    for (const Job& job : plan_.jobs) {
      if (job.kind == kind && number-- == 0) return job.id;
    }
    return "";
  }

  Plan plan_;
};

TEST_F(LookCommands, WhyNamesTheFieldThatDiffersFromTheNearestJob) {
  const CommandResult why = assay({"why", job(JobKind::kTrain, 1).substr(0, 12)});
  EXPECT_EQ(why.exit_code, 0) << why.err;
  EXPECT_THAT(why.out, AllOf(HasSubstr("job " + job(JobKind::kTrain, 1)),
                             HasSubstr("needed by study s"), HasSubstr(job(JobKind::kTrain, 0)),
                             HasSubstr("which differs in 3 fields; the first:\n"
                                       "  switches.cap.K: 5 here, 1 there")));
  const CommandResult evaluated = assay({"why", job(JobKind::kEvaluate, 2), "--json"});
  const json answer = json::parse(evaluated.out);
  EXPECT_EQ(answer["differences"][0]["field"], "checkpoint");
  EXPECT_EQ(answer["differences"][0]["trainings_differ"][0]["field"], "switches.cap.K");
  EXPECT_THAT(assay({"why", "ffff"}).err, HasSubstr("no job's id starts with 'ffff'"));
}

TEST_F(LookCommands, ExplainSaysWhatACellIsMadeOf) {
  const CommandResult text = assay({"explain", study_file(), "faprompt", "elpv", "K=5"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  const std::string trained = job(JobKind::kTrain, 1);
  EXPECT_THAT(
      text.out,
      AllOf(StartsWith("faprompt:paper cap.K=5 on elpv, study s ("),
            HasSubstr("image AUROC     0.750000  seed 0  (exact, a tie counts one half"),
            HasSubstr("train job " + trained), HasSubstr("images: synth-a (test)"),
            HasSubstr("SHA-256 " + sha256("parameters of " + trained)),
            HasSubstr("attempt 1: done on here"),
            HasSubstr("assay evaluate faprompt:paper cap.K=5 --on elpv --backbone assay-tiny "
                      "--image-size 128 --train-on synth-a --seed 0"),
            Not(HasSubstr("cap.K=1"))));
  const json answer = json::parse(
      assay({"explain", study_file(), "faprompt:paper", "elpv", "image.auroc", "cap.K=1", "--json"})
          .out);
  EXPECT_EQ(answer["numbers"].size(), 1U);
  EXPECT_EQ(answer["jobs"][0]["needs"][1]["kind"], "train");
}

TEST_F(LookCommands, ExplainNamesTheRowsWhereSeveralOrNoneAreMeant) {
  EXPECT_THAT(assay({"explain", study_file(), "faprompt", "elpv"}).err,
              HasSubstr("several rows of study 's' are that: faprompt:paper cap.K=1, "
                        "faprompt:paper cap.K=5; add settings such as cap.K=5"));
  const CommandResult none = assay({"explain", study_file(), "faprompt", "visa"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("study 's' has no such cell; its rows: faprompt:paper cap.K=1, "
                                  "faprompt:paper cap.K=5; its data sets: synth-b, elpv"));
  EXPECT_THAT(assay({"explain", study_file(), "faprompt", "elpv", "K=5", "image.auc"}).err,
              HasSubstr("'image.auc' is not a metric of a table"));
}

TEST_F(LookCommands, ExplainTellsAnEnsembleFromTheRowWithoutOne) {
  const Study both = parse_study(study("e", "[5]").text +
                                     "[[sweep]]\nmethod = 'faprompt'\ngrid = { K = [5] }\n"
                                     "seeds = [0, 1]\nensemble = { over = 'seed', combine = "
                                     "'scores' }\n",
                                 "e.toml");
  run(both);
  const std::string file = folder_ / "e.toml";
  write_file_atomically(file, both.text);
  EXPECT_THAT(assay({"explain", file, "faprompt", "elpv"}).err,
              HasSubstr("faprompt:paper cap.K=5, faprompt:paper cap.K=5 ensemble=scores; add "
                        "settings such as ensemble=scores"));
  EXPECT_THAT(
      assay({"explain", file, "faprompt", "elpv", "K=5"}).out,
      AllOf(StartsWith("faprompt:paper cap.K=5 on elpv"),
            HasSubstr("assay evaluate faprompt:paper cap.K=5"), Not(HasSubstr("assay run"))))
      << "the row that is named whole";
  EXPECT_THAT(
      assay({"explain", file, "faprompt", "elpv", "ensemble=scores"}).out,
      AllOf(StartsWith("faprompt:paper cap.K=5 ensemble=scores on elpv"),
            HasSubstr("image AUROC     0.750000  (exact"), HasSubstr("\"ensemble_seeds\":[0,1]"),
            HasSubstr("assay run s.toml targets=elpv"), Not(HasSubstr("assay evaluate"))));
}

TEST_F(LookCommands, TheStoreIsCheckedRebuiltAndCleaned) {
  EXPECT_EQ(assay({"store", "check"}).exit_code, 0);
  std::filesystem::remove(workspace_.job(job(JobKind::kTrain)) / "checkpoint.safetensors");
  const CommandResult check = assay({"store", "check"});
  EXPECT_EQ(check.exit_code, 1);
  EXPECT_THAT(check.out, HasSubstr("checkpoint.safetensors: is missing"));

  run(study("s", "[1]"));
  const CommandResult listed = assay({"store", "gc"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_THAT(listed.out, HasSubstr(workspace_.job(job(JobKind::kTrain, 1)).string() +
                                    "  (a job that no study needs)"));
  EXPECT_THAT(listed.err, HasSubstr("--delete does"));
  EXPECT_TRUE(std::filesystem::exists(workspace_.job(job(JobKind::kTrain, 1))));
  {
    const WorkspaceLease lease(workspace_.root, "the test");
    EXPECT_EQ(assay({"store", "gc", "--delete"}).exit_code, 75) << "somebody works here";
    EXPECT_EQ(assay({"store", "rebuild"}).exit_code, 75);
  }
  EXPECT_EQ(assay({"store", "gc", "--delete"}).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(workspace_.job(job(JobKind::kTrain, 1))));
  EXPECT_TRUE(std::filesystem::exists(workspace_.job(job(JobKind::kTrain, 0))));

  const CommandResult rebuilt = assay({"store", "rebuild"});
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.err;
  EXPECT_THAT(rebuilt.err, HasSubstr("7 jobs, 7 of them done, 7 attempts"));
  EXPECT_THAT(assay({"store", "gc"}).err, HasSubstr("no study is recorded"));
}

TEST_F(LookCommands, AWrongCommandLineIsAnErrorLikeEveryOther) {
  const auto expect_error = [&](std::vector<std::string> words, const std::string& message) {
    const CommandResult result = assay(words);
    EXPECT_EQ(result.exit_code, 2) << message;
    EXPECT_THAT(result.err, StartsWith("assay: error: " + message));
  };
  const auto expect_refused = [&](std::vector<std::string> words, const std::string& message) {
    words.insert(words.begin(), {"run", study_file()});
    expect_error(words, message);
  };
  expect_error({"plan"}, "STUDY is required; 'assay plan --help' shows how");
  expect_error({"store"}, "A subcommand is required; 'assay store --help' shows how");
  expect_refused({"--ranks", "x"}, "--ranks: 'x', expected a whole number of at least 1;");
  expect_refused({"--ranks", "0"}, "--ranks: '0', expected a whole number of at least 1;");
  expect_refused({"--slots", "0"}, "--slots: '0', expected a whole number of at least 1;");
  expect_refused({"--retries=-5"}, "--retries: '-5', expected a whole number of at least 0;");
  expect_refused({"--timeout", "0"}, "--timeout: '0', expected a number above 0;");
  expect_refused({"--ranks", "3", "--slots", "1"},
                 "--ranks 3 --slots 1: a gang of 3 ranks does not fit into 1 processes in all");
  expect_refused({"--slots", "2", "--hostfile", "hosts"},
                 "--slots 2: hosts says how many processes each host gets; leave out --slots");
  const auto under_mpirun =
      RunningCommand(words({"run", study_file(), "--slots", "2"}), folder_ / "out",
                     {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "4"}})
          .wait();
  EXPECT_THAT(under_mpirun.err, HasSubstr("--slots 2: the launcher has started 4 ranks already"));
  EXPECT_EQ(assay({"run", "--help"}).exit_code, 0);
}

}  // namespace
}  // namespace assay
