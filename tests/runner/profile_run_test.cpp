// Profile jobs with the real programs. No time is asserted.

#include "core/file.h"
#include "results/sqlite.h"
#include "results/store.h"
#include "tests/support/tiny_study.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <csignal>

namespace assay {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::SizeIs;

constexpr const char* kStudy = R"(
schema = 1
name = "costs"
backbone = "assay-tiny"
image_size = 64
targets = ["synth-b"]
[[profile]]
methods = ["clip", "anomalyclip:released", "faprompt"]
batch = 3
steps = 2
warmup = 1
)";

/// Names of the figures of a result.
std::vector<std::string> names_of(const json& result) {
  std::vector<std::string> names;
  for (const auto& [name, value] : result.at("figures").items()) names.push_back(name);
  return names;
}

class ProfileRunTest : public ::testing::Test {
 protected:
  ProfileRunTest() {
    std::filesystem::create_directories(folder_ / "out");
    write_file_atomically(folder_ / "study.toml", kStudy);
  }
  std::unique_ptr<RunningCommand> start(const std::string& command,
                                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {std::string(ASSAY_BINARY_DIR) + "/assay",
                                      command,
                                      (folder_ / "study.toml").string(),
                                      "-w",
                                      workspace_.root.string(),
                                      "--data",
                                      small_drawings().string()};
    words.insert(words.end(), more.begin(), more.end());
    return std::make_unique<RunningCommand>(words, folder_ / "out");
  }
  CommandResult assay(const std::string& command, const std::vector<std::string>& more = {}) {
    return start(command, more)->wait();
  }
  /// Results by `method phase form`.
  std::map<std::string, json> results() {
    const Store store(workspace_.store());
    std::map<std::string, json> all;
    for (const auto& [spec_text, result] : store.profiles("costs")) {
      const json spec = json::parse(spec_text);
      all[spec["method"].get<std::string>() + " " + spec["phase"].get<std::string>() + " " +
          spec["form"].get<std::string>()] = json::parse(result);
    }
    return all;
  }

  TemporaryFolder folder_;
  Workspace workspace_{folder_ / "w"};
};

TEST_F(ProfileRunTest, MeasuresEveryMethodInBothFormsAndPrintsATable) {
  EXPECT_THAT(assay("plan").out, HasSubstr("profile         12       0      12"));
  const CommandResult ran = assay("run", {"--ranks", "2", "--slots", "2"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("12 of 12 jobs done"));

  const std::map<std::string, json> all = results();
  ASSERT_THAT(all, SizeIs(12));
  for (const char* method : {"anomalyclip", "faprompt"}) {
    const auto of = [&](const char* phase_and_form) {
      return all.at(std::string(method) + " " + phase_and_form);
    };
    for (const char* form : {"train literal", "train cached"}) {
      EXPECT_THAT(names_of(of(form)),
                  IsSupersetOf({"params_published", "params_trained", "train_ms_per_batch",
                                "train_ms_per_batch_deviation", "train_ms_per_batch_median",
                                "decode_ms", "preprocess_ms"}));
      EXPECT_GT(of(form)["figures"]["train_ms_per_batch"], 0) << method << " " << form;
      EXPECT_EQ(of(form)["images"], 3);
      EXPECT_EQ(of(form)["ranks"], 1) << "alone, whatever the gangs of other jobs are";
    }
    const double loss = of("train cached")["first_loss"];
    EXPECT_NEAR(of("train literal")["first_loss"], loss, 5e-3 * std::abs(loss)) << method;
  }
  for (const char* method : {"clip", "anomalyclip", "faprompt"}) {
    const json cached = all.at(std::string(method) + " infer cached"),
               literal = all.at(std::string(method) + " infer literal");
    EXPECT_THAT(names_of(cached),
                IsSupersetOf({"infer_ms_per_image", "fps", "encode_ms", "decode_ms",
                              "preprocess_ms", "smooth_ms", "metric_ms"}));
    EXPECT_THAT(names_of(literal), IsSupersetOf({"infer_ms_per_image", "fps", "decode_ms"}));
    EXPECT_THAT(names_of(literal), Each(Not("copy_ms"))) << "there is no device to copy to";
    EXPECT_NEAR(literal["first_score"], cached["first_score"].get<double>(), 5e-3) << method;
    const json& figures = cached["figures"];
    EXPECT_NEAR(figures["fps"].get<double>() * figures["infer_ms_per_image"].get<double>(), 1000,
                1e-6);
  }
  EXPECT_EQ(all.at("clip train cached")["figures"],
            (json{{"params_published", 0}, {"params_trained", 0}, {"train_ms_per_batch", 0}}));
  EXPECT_GT(all.at("faprompt infer cached")["figures"]["params_published"],
            all.at("faprompt infer cached")["figures"]["params_trained"]);

  EXPECT_THAT(
      ran.out,
      AllOf(HasSubstr("costs: cost on cpu, 1 thread, host "), HasSubstr("train ms/batch of 3"),
            HasSubstr("infer ms/image"), HasSubstr("anomalyclip:released  literal"),
            HasSubstr("faprompt:paper        cached"), Not(HasSubstr("nothing is measured yet"))));
  EXPECT_EQ(assay("table").out, ran.out);
  EXPECT_THAT(json::parse(assay("table", {"--json"}).out).at("costs"), SizeIs(12));
  EXPECT_THAT(assay("table", {"-f", "csv"}).out, HasSubstr(",cost,infer_ms_per_image,"));

  Database database(workspace_.store(), Access::kRead);
  Statement costs = database.prepare(
      "SELECT value FROM costs WHERE study = 'costs' AND method = 'faprompt' AND phase = 'train' "
      "AND form = 'literal' AND batch = 3 AND figure = 'train_ms_per_batch'");
  ASSERT_TRUE(costs.step());
  EXPECT_EQ(costs.real(0), all.at("faprompt train literal")["figures"]["train_ms_per_batch"]);

  EXPECT_THAT(assay("run").err, HasSubstr("12 of 12 jobs done (12 before)"));
}

TEST_F(ProfileRunTest, OtherNumbersOfStepsAreOtherJobsAndComeAfterTheSweeps) {
  const std::string sweep = "[[sweep]]\nmethod = 'clip'\n";
  const std::string profile =
      "[[profile]]\nmethods = ['clip']\nform = ['cached']\nphase = ['infer']\nbatch = 1\n"
      "warmup = 0\nsteps = ";
  const std::string text(kStudy);
  const std::string keys = text.substr(0, text.find("[[profile]]"));
  write_file_atomically(folder_ / "study.toml", keys + profile + "1\n" + sweep);
  const CommandResult first = assay("run", {"--ranks", "1"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("3 of 3 jobs done (0 before)"));
  EXPECT_LT(first.err.find("evaluate clip"), first.err.find("profile clip")) << first.err;
  EXPECT_LT(first.out.find("AUROC"), first.out.find("infer ms/image")) << first.out;
  write_file_atomically(folder_ / "study.toml", keys + profile + "2\n" + sweep);
  EXPECT_THAT(assay("run", {"--ranks", "1"}).err, HasSubstr("3 of 3 jobs done (2 before)"));
}

TEST_F(ProfileRunTest, StopsBetweenTwoStepsWhenItIsInterrupted) {
  const std::string text(kStudy);
  write_file_atomically(folder_ / "study.toml",
                        text.substr(0, text.find("[[profile]]")) +
                            "[[profile]]\nmethods = ['anomalyclip']\nform = ['cached']\n"
                            "phase = ['train']\nsteps = 1000000\n");
  const auto running = start("run", {"--ranks", "1"});
  ASSERT_TRUE(eventually([&] {
    return std::filesystem::exists(workspace_.store()) &&
           !Store(workspace_.store()).open_attempts().empty();
  }));
  running->send(SIGINT);
  const CommandResult stopped = running->wait();
  EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("interrupted: the same command goes on"));
  EXPECT_THAT(results(), IsEmpty());
}

}  // namespace
}  // namespace assay
