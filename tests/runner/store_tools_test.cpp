#include "runner/store_tools.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/job_run.h"
#include "runner/store_folders.h"
#include "tests/runner/finished_workspace.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

class StoreToolsTest : public ::testing::Test, protected FinishedWorkspace {
 protected:
  StoreToolsTest() { run(study("s", "[1, 5]")); }

  [[nodiscard]] std::vector<std::string> problems() const {
    return check_workspace(Store(workspace_.store()), workspace_);
  }
  [[nodiscard]] std::vector<Garbage> garbage() const {
    return find_garbage(Store(workspace_.store()), workspace_);
  }

  /// What SQL answers, as text.
  [[nodiscard]] std::vector<std::string> answers(const std::string& sql, int columns) const {
    Database database(workspace_.store());
    Statement select = database.prepare(sql);
    std::vector<std::string> rows;
    while (select.step()) {
      std::string row;
      for (int i = 0; i < columns; ++i) row += select.text(i) + "|";
      rows.push_back(row);
    }
    return rows;
  }
  /// All that job folders hold.
  [[nodiscard]] std::vector<std::vector<std::string>> content() const {
    return {answers("SELECT id, kind, spec, state, cost_class, result, done_at FROM jobs "
                    "ORDER BY id",
                    7),
            answers("SELECT job, needs FROM job_dependencies ORDER BY job, needs", 2),
            answers("SELECT job, number, gang, ranks, host, pid, started_at, ended_at, seconds, "
                    "outcome, message, log_path, cpu_capability, threads, facts FROM attempts "
                    "JOIN environment ON environment.id = environment ORDER BY job, number",
                    15),
            answers("SELECT * FROM metrics ORDER BY job, dataset, category, level, metric", 11)};
  }
};

TEST_F(StoreToolsTest, AWholeWorkspaceHasNoProblemAndNoGarbage) {
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_THAT(garbage(), IsEmpty());
}

TEST_F(StoreToolsTest, ACheckNamesEveryProblem) {
  const Plan plan = make_plan(study("s", "[1, 5]"), inputs_);
  std::vector<std::filesystem::path> trained;
  for (const Job& job : plan.jobs) {
    if (job.kind == JobKind::kTrain) trained.push_back(workspace_.job(job.id));
  }
  const std::filesystem::path encoded = workspace_.result(plan.jobs[0].id);
  write_file_atomically(trained[0] / "checkpoint.safetensors", "other parameters");
  std::filesystem::remove(trained[1] / "checkpoint.safetensors");
  write_file_atomically(encoded, "{");
  write_file_atomically(workspace_.root / "jobs/ab/abc/spec.json", "{}");
  write_file_atomically(workspace_.root / "jobs/ab/abd/note.txt", "");
  write_file_atomically(trained[0] / "scores.h5.1234.partial", "");
  const std::vector<std::string> found = problems();
  EXPECT_THAT(found, SizeIs(6));
  EXPECT_THAT(found,
              Contains(trained[0].string() +
                       "/checkpoint.safetensors: its SHA-256 is not that of the job's result"));
  EXPECT_THAT(found, Contains(HasSubstr("checkpoint.safetensors: is missing, its job's result")));
  EXPECT_THAT(found, Contains(HasSubstr(encoded.string() + " is missing or not its")));
  EXPECT_THAT(found, Contains(HasSubstr("abc/spec.json: the SHA-256 of its spec is not its name")));
  EXPECT_THAT(found, Contains(HasSubstr("jobs/ab/abd: says nowhere what job it is")));
  EXPECT_THAT(found, Contains(HasSubstr("1234.partial: left by a writer that was killed")));
}

TEST_F(StoreToolsTest, GarbageIsWhatNoStudyNeeds) {
  const Plan before = make_plan(study("s", "[1, 5]"), inputs_);
  const Plan after = run(study("s", "[1]"));  // The study changed: K = 5 is not wanted any more.
  std::vector<std::string> unneeded;
  for (const Job& job : before.jobs) {
    if (std::ranges::count(after.jobs, job.id, &Job::id) == 0) unneeded.push_back(job.id);
  }
  ASSERT_THAT(unneeded, SizeIs(3));  // A training, two evaluations; features are shared.
  const std::filesystem::path features = workspace_.features() / "key/elpv-0123456789abcdef";
  write_file_atomically(features / "test.0-of-1.h5", "of another image size");
  write_file_atomically(workspace_.masks() / "manifest/64.h5", "");
  write_file_atomically(workspace_.job(after.jobs[0].id) / "state.safetensors", "kept");

  const std::vector<Garbage> found = garbage();
  EXPECT_THAT(found, SizeIs(3 + 1 + 3));  // Results, the training's folder, and those three.
  for (const std::string& job : unneeded) {
    EXPECT_THAT(found, Contains(Field(&Garbage::job, job)));
  }
  Store store(workspace_.store());
  remove_garbage(found, store);
  EXPECT_THAT(garbage(), IsEmpty());
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(features));
  EXPECT_EQ(store.jobs().size(), after.jobs.size());
  EXPECT_EQ(store.metric_values("s").size(), 2U);
}

TEST_F(StoreToolsTest, WhatAnotherStudyNeedsIsNoGarbage) {
  run(study("other", "[5]"));
  run(study("s", "[1]"));
  EXPECT_THAT(garbage(), IsEmpty());
}

TEST_F(StoreToolsTest, TheStateOfATrainingStaysWhileOneIsToGoOnFromIt) {
  const Study curves = parse_study(
      "schema = 1\nname = 'c'\nbackbone = 'assay-tiny'\ntrain_on = 'synth-a'\n"
      "targets = ['synth-b']\n[[sweep]]\nmethod = 'anomalyclip'\neval = { epochs = [5] }\n",
      "s.toml");
  const Plan plan = make_plan(curves, inputs_);
  Store store(workspace_.store());
  store.record_study({"c", "s.toml", ""}, job_records(plan), plan.cells);
  const auto shorter = std::ranges::find_if(plan.jobs, &Job::keeps_state);
  const auto longer =
      std::ranges::find_if(plan.jobs, [](const Job& job) { return !job.continues.empty(); });
  finish(*shorter, store);
  const std::filesystem::path state = workspace_.job(shorter->id) / "state.safetensors";
  write_file_atomically(state, "state");
  EXPECT_THAT(garbage(), IsEmpty());
  finish(*longer, store);
  EXPECT_THAT(garbage(), ElementsAre(Field(&Garbage::path, state)));
}

TEST_F(StoreToolsTest, WithoutAStudyNothingIsCalledGarbage) {
  static_cast<void>(rebuild_store(workspace_));
  EXPECT_THAT([&] { static_cast<void>(garbage()); },
              ThrowsMessage<ConfigError>(HasSubstr("no study is recorded")));
}

TEST_F(StoreToolsTest, AStoreIsMadeAgainFromTheJobFolders) {
  const auto before = content();
  std::filesystem::remove(workspace_.store());
  std::filesystem::remove(workspace_.store().string() + "-wal");
  const Rebuilt rebuilt = rebuild_store(workspace_);
  EXPECT_THAT(rebuilt.problems, IsEmpty());
  EXPECT_TRUE(rebuilt.former.empty());
  EXPECT_EQ(rebuilt.jobs, 10);
  EXPECT_EQ(rebuilt.done, 10);
  EXPECT_EQ(content(), before);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(StoreToolsTest, FilesLaidOutByOlderBuildsAreRead) {
  const Plan plan = make_plan(study("s", "[1, 5]"), inputs_);
  lay_out_as_before(plan);
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_THAT(garbage(), IsEmpty());
  const auto before = content();
  EXPECT_EQ(rebuild_store(workspace_).attempts, 10);
  EXPECT_EQ(content(), before);
  EXPECT_THAT(list_results(workspace_).get(), IsEmpty());
  for (const Job& job : plan.jobs) EXPECT_EQ(read_result(workspace_, job.id)->at("id"), job.id);
  remove_result(workspace_, plan.jobs[0].id);
  EXPECT_FALSE(read_result(workspace_, plan.jobs[0].id).has_value());
}

TEST_F(StoreToolsTest, ATornLineOfAttemptsCostsThatAttemptAlone) {
  const std::string torn = read_file(workspace_.attempts()) + "{\"job\": \"ab";
  write_file_atomically(workspace_.attempts(), torn);
  const auto attempts = read_attempts(workspace_);
  ASSERT_THAT(attempts, SizeIs(10));
  AttemptsFile(workspace_).append(attempts.begin()->second.at(1));
  EXPECT_THAT(read_attempts(workspace_), SizeIs(10));
  Attempt second = attempts.begin()->second.at(1);
  second.number = 2;
  AttemptsFile(workspace_).append(second);
  EXPECT_THAT(read_attempts(workspace_).at(second.job), SizeIs(2));
}

TEST_F(StoreToolsTest, ARebuildKeepsTheStoreBeforeAndNamesWhatItCannotRead) {
  const Plan plan = make_plan(study("s", "[1, 5]"), inputs_);
  const Job& failed = plan.jobs[0];
  write_file_atomically(workspace_.result(failed.id), "{}");
  write_file_atomically(workspace_.job(failed.id) / "spec.json", failed.spec_text.text());
  write_file_atomically(workspace_.root / "jobs/ab/abc/spec.json", "{}");
  const Rebuilt rebuilt = rebuild_store(workspace_);
  EXPECT_THAT(rebuilt.problems,
              ElementsAre(HasSubstr("abc/spec.json"),
                          HasSubstr(workspace_.result(failed.id).string() + ": is damaged or")));
  EXPECT_EQ(rebuilt.done, rebuilt.jobs - 1);
  EXPECT_THAT(rebuilt.former.string(), EndsWith("store.db.before-rebuild"));
  EXPECT_EQ(Store(rebuilt.former).studies().size(), 1U);
  EXPECT_THAT(rebuild_store(workspace_).former.string(), EndsWith("store.db.before-rebuild-2"));
}

TEST(NeedsOf, AreThoseOfThePlan) {
  InMemory inputs;
  const Plan plan = make_plan(
      parse_study("schema = 1\nname = 's'\nbackbone = 'assay-tiny'\ntrain_on = 'synth-a'\n"
                  "targets = ['synth-b']\ntrain_split = 'all'\n[[sweep]]\nmethod = 'anomalyclip'\n"
                  "seeds = [1, 2]\nensemble = {}\n[[sweep]]\nmethod = 'clip'\n",
                  "s.toml"),
      inputs);
  for (const Job& job : plan.jobs) {
    EXPECT_THAT(needs_of(job.spec()), ::testing::UnorderedElementsAreArray(job.dependencies));
    EXPECT_EQ(cost_class_of(job.spec()), job.cost_class);
  }
}

}  // namespace
}  // namespace assay
