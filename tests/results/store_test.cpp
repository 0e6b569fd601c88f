#include "results/store.h"

#include "core/error.h"
#include "core/file.h"
#include "results/schema.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <fstream>
#include <thread>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::ThrowsMessage;

JobRecord job(const std::string& id, std::vector<std::string> dependencies = {}) {
  return {.id = id,
          .kind = "evaluate",
          .spec = nlohmann::json{{"name", id}}.dump(),
          .dependencies = std::move(dependencies),
          .cost_class = "evaluate/clip",
          .work = 10};
}

StudyCell cell(const std::string& id, nlohmann::json params = nlohmann::json::object()) {
  return {.job = id,
          .method = "faprompt",
          .preset = "paper",
          .params = std::move(params),
          .seed = 3,
          .train_dataset = "synth-a",
          .dataset = "elpv",
          .eval_size = 128,
          .protocol = nlohmann::json{{"backbone", "assay-tiny"}},
          .overlap = 0};
}

MetricRow metric(const std::string& category, std::optional<double> value) {
  return {.dataset = "elpv",
          .category = category,
          .level = "image",
          .metric = "auroc",
          .value = value,
          .undefined_because = value ? "" : "no_normals",
          .num_normal = 5,
          .num_anomalous = 7,
          .num_regions = {},
          .num_categories = {}};
}

class StoreTest : public ::testing::Test {
 protected:
  Attempt begin(Store& store, const std::string& id) {
    return store.begin_attempt({.job = id,
                                .gang = 1,
                                .ranks = 2,
                                .host = "here",
                                .pid = 77,
                                .cpu_capability = "AVX2",
                                .threads = 1,
                                .environment = nlohmann::json{{"assay", "0.1"}}},
                               "jobs/ab/" + id);
  }
  std::int64_t count(const std::string& sql) {
    Database database(path_);
    Statement statement = database.prepare(sql);
    return statement.step() ? statement.integer(0) : -1;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "work/store.db";
};

TEST_F(StoreTest, APersonCanQueryTheViewThatTheReadmeNames) {
  {
    Store store(path_);
    store.record_study({"demo", "demo.toml", "text"}, {job("j")}, {cell("j", {{"cap.K", 5}})});
    const JobResult result{{{"ok", true}}, {metric("mean", 0.75)}};
    store.finish_attempt(begin(store, "j"), {.outcome = "done", .seconds = 2}, &result);
  }
  Database database(path_);
  Statement row = database.prepare(
      "SELECT study, method, preset, params, seed, train_dataset, dataset, category, level, "
      "metric, value, job FROM metric_values");
  ASSERT_TRUE(row.step());
  std::vector<std::string> texts;
  for (int column = 0; column < 12; ++column) texts.push_back(row.text(column));
  EXPECT_THAT(texts, ElementsAre("demo", "faprompt", "paper", R"({"cap.K":5})", "3", "synth-a",
                                 "elpv", "mean", "image", "auroc", "0.75", "j"));
  EXPECT_FALSE(row.step());
}

TEST_F(StoreTest, MakesFilesForWhomTheUmaskSays) {
  const mode_t before = ::umask(002);
  const Store store(path_);
  ::umask(before);
  using std::filesystem::perms;
  const auto mode = [&](const std::string& suffix) {
    return std::filesystem::status(path_.string() + suffix).permissions();
  };
  const perms shared = perms::owner_read | perms::owner_write | perms::group_read |
                       perms::group_write | perms::others_read;
  EXPECT_EQ(mode(""), shared);
  EXPECT_EQ(mode("-wal"), shared);
  EXPECT_EQ(mode("-shm"), shared);
}

TEST_F(StoreTest, KeepsWhatIsUndefinedAsNullWithItsReason) {
  Store store(path_);
  store.record_study({"s", "", ""}, {job("j")}, {cell("j")});
  const JobResult result{{}, {metric("cell", std::nullopt)}};
  store.finish_attempt(begin(store, "j"), {.outcome = "done"}, &result);
  EXPECT_EQ(count("SELECT count(*) FROM metrics WHERE value IS NULL"), 1);
  ASSERT_EQ(store.metric_values("s").size(), 1U);
  EXPECT_EQ(store.metric_values("s")[0].row, metric("cell", std::nullopt));
}

TEST_F(StoreTest, AResultLandsWholeOrNotAtAll) {
  Store store(path_);
  store.record_study({"s", "", ""}, {job("j")}, {cell("j")});
  const Attempt attempt = begin(store, "j");
  // The same number twice: the second insert fails after the first one succeeded.
  const JobResult twice{{}, {metric("a", 0.5), metric("a", 0.6)}};
  EXPECT_THROW(store.finish_attempt(attempt, {.outcome = "done"}, &twice), StoreError);
  EXPECT_EQ(count("SELECT count(*) FROM metrics"), 0);
  EXPECT_THAT(store.done_jobs(), IsEmpty());
  EXPECT_EQ(store.open_attempts().size(), 1U);
}

TEST_F(StoreTest, AJobIsDoneAfterItsAttemptAndPlannedAgainAfterACrash) {
  Store store(path_);
  store.record_jobs({job("j")});
  const Attempt first = begin(store, "j");
  EXPECT_EQ(store.jobs()[0].state, "running");
  EXPECT_EQ(first.log_path, "jobs/ab/j/attempt-1/rank0.log");
  store.finish_attempt(first, {.outcome = "crashed", .seconds = 1, .signal = 9});
  EXPECT_EQ(store.jobs()[0].state, "planned");

  const Attempt second = begin(store, "j");
  EXPECT_EQ(second.number, 2);
  store.finish_attempt(second, {.outcome = "failed", .message = "NaN loss at step 3"});
  EXPECT_EQ(store.jobs()[0].state, "failed");
  store.reset_failed("j");

  const JobResult result{{{"loss", 1.5}}, {}};
  store.finish_attempt(begin(store, "j"), {.outcome = "done", .seconds = 4}, &result);
  EXPECT_THAT(store.done_jobs(), ElementsAre("j"));
  EXPECT_EQ(store.result("j"), (nlohmann::json{{"loss", 1.5}}));
  const std::vector<Attempt> attempts = store.attempts("j");
  ASSERT_EQ(attempts.size(), 3U);
  EXPECT_EQ(attempts[0].signal, 9);
  EXPECT_EQ(attempts[1].message, "NaN loss at step 3");
  EXPECT_THAT(store.open_attempts(), IsEmpty());
}

TEST_F(StoreTest, PlanningAgainKeepsWhatIsDoneAndForgetsWhatAStudyNoLongerWants) {
  Store store(path_);
  store.record_study({"s", "", "old"}, {job("a"), job("b", {"a"})}, {cell("a"), cell("b")});
  store.record_study({"other", "", ""}, {job("a")}, {});
  store.adopt_result("a", {{}, {}});
  store.record_study({"s", "", "new"}, {job("a"), job("c", {"a"})}, {cell("c")});
  EXPECT_THAT(store.done_jobs(), ElementsAre("a"));
  EXPECT_EQ(store.jobs("s").size(), 2U);
  EXPECT_EQ(store.jobs().size(), 3U);
  EXPECT_THAT(store.cells("s"), ElementsAre(cell("c")));
  EXPECT_THAT(store.job("c").dependencies, ElementsAre("a"));
  EXPECT_THAT(store.studies_of("a"), ElementsAre("other", "s"));
}

TEST_F(StoreTest, TellsWhatAUnitOfWorkCost) {
  Store store(path_);
  store.record_jobs({job("a"), job("b")});
  const JobResult nothing;
  store.finish_attempt(begin(store, "a"), {.outcome = "crashed", .seconds = 500});
  store.finish_attempt(begin(store, "a"), {.outcome = "done", .seconds = 2}, &nothing);
  store.finish_attempt(begin(store, "b"), {.outcome = "done", .seconds = 4}, &nothing);
  EXPECT_EQ(store.seconds_per_work(),
            (std::map<std::string, double>{{"evaluate/clip", 6.0 / 20.0}}));
}

TEST_F(StoreTest, FindsAJobByTheStartOfItsId) {
  Store store(path_);
  store.record_jobs({job("abc1"), job("abd2"), job("x_z")});
  EXPECT_EQ(store.find_job("abc"), "abc1");
  EXPECT_THAT([&] { (void)store.find_job("ab"); },
              ThrowsMessage<ConfigError>(HasSubstr("more than one job's id starts with 'ab'")));
  EXPECT_THAT([&] { (void)store.find_job("x%"); },
              ThrowsMessage<ConfigError>(HasSubstr("no job's id starts with 'x%'")));
}

TEST_F(StoreTest, WhatAWorkerWroteReadsBack) {
  MetricRow row = metric("mean", 0.1);
  row.num_categories = 3;
  EXPECT_EQ(metric_row_from_json(nlohmann::json::parse(to_json(row).dump())), row);
  EXPECT_THAT(
      [] {
        (void)metric_row_from_json({{"dataset", "x"}});
      },
      ThrowsMessage<StoreError>(HasSubstr("'category' not found")));
}

TEST_F(StoreTest, UsesAWriteAheadLogOnALocalFileSystem) {
  Store store(path_);
  EXPECT_TRUE(std::filesystem::exists(path_.string() + "-wal"));
}

TEST_F(StoreTest, ManyMayOpenAStoreWhileItIsMade) {
  constexpr int kRounds = 50, kOpeners = 4;
  for (int round = 0; round < kRounds; ++round) {
    const std::filesystem::path path = folder_ / fmt::format("{}.db", round);
    std::barrier together(kOpeners);
    std::vector<std::jthread> openers;
    for (int opener = 0; opener < kOpeners; ++opener) {
      openers.emplace_back([&] {
        together.arrive_and_wait();
        EXPECT_NO_THROW(Store{path});
      });
    }
  }
}

TEST_F(StoreTest, TwoConnectionsSeeEachOthersWork) {
  Store writer(path_);
  const Store reader(path_);
  writer.record_jobs({job("a")});
  writer.adopt_result("a", {});
  EXPECT_THAT(reader.done_jobs(), ElementsAre("a"));
}

TEST_F(StoreTest, WhatIsGatheredLandsTogetherAndIsSeenByItsWriterAtOnce) {
  Store writer(path_);
  const Store reader(path_);
  writer.record_jobs({job("a"), job("b"), job("c")});
  writer.gather();
  const JobResult result{{}, {metric("a", 0.5)}};
  writer.finish_attempt(begin(writer, "a"), {.outcome = "done"}, &result);
  // Fails alone: what was gathered before stays.
  const JobResult twice{{}, {metric("a", 0.5), metric("a", 0.6)}};
  EXPECT_THROW(writer.adopt_result("b", twice), StoreError);
  EXPECT_THAT(writer.done_jobs(), ElementsAre("a"));
  EXPECT_THAT(reader.done_jobs(), IsEmpty());
  EXPECT_EQ(begin(writer, "a").number, 2);
  writer.save();
  EXPECT_THAT(reader.attempts("a"), ::testing::SizeIs(2));
  EXPECT_EQ(count("SELECT count(*) FROM metrics"), 1);
  writer.adopt_result("c", {});  // On its own again.
  EXPECT_THAT(reader.done_jobs(), ::testing::Contains("c"));
}

TEST_F(StoreTest, AWriterThatIsKilledInATransactionLeavesNothingOfIt) {
  { Store(path_).record_jobs({job("before")}); }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Database database(path_);
    const Transaction transaction(database);
    database.execute("UPDATE jobs SET state = 'done'");
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  Store store(path_);
  EXPECT_THAT(store.done_jobs(), IsEmpty());
  store.adopt_result("before", {});  // And nothing is locked.
}

TEST_F(StoreTest, RefusesANewerStoreNamingBothVersions) {
  { const Store store(path_); }
  {
    Database database(path_);
    database.execute("UPDATE schema_version SET version = 9");
  }
  EXPECT_THAT([&] { const Store store(path_); },
              ThrowsMessage<StoreError>(
                  AllOf(HasSubstr("store.db: schema version 9, this build of assay reads 4"),
                        HasSubstr("use the newer build"))));
}

TEST_F(StoreTest, RefusesAnotherProgramsDatabaseAndAFileThatIsNone) {
  {
    std::filesystem::create_directories(path_.parent_path());
    Database database(path_);
    database.execute("CREATE TABLE bookmarks (url TEXT)");
  }
  EXPECT_THAT([&] { const Store store(path_); },
              ThrowsMessage<StoreError>(HasSubstr("a database of another program")));
  const auto text = folder_ / "text.db";
  std::ofstream(text) << std::string(5000, 'x');
  EXPECT_THAT([&] { const Store store(text); },
              ThrowsMessage<StoreError>(HasSubstr("text.db: not a readable SQLite database")));
}

TEST_F(StoreTest, NamesAFolderThatIsInTheWay) {
  std::filesystem::create_directories(path_);
  EXPECT_THAT([&] { const Store store(path_); },
              ThrowsMessage<StoreError>(HasSubstr("store.db: ")));
}

TEST_F(StoreTest, WritesNothingForAStudyThatIsRecordedAlready) {
  Store store(path_);
  const StudyRecord study{"s", "s.toml", "text"};
  store.record_study(study, {job("a"), job("b", {"a"})}, {cell("a")});
  Database other(path_);
  const auto changes = [&] {
    Statement version = other.prepare("PRAGMA data_version");
    return version.step() ? version.integer(0) : -1;
  };
  const std::int64_t before = changes();
  store.record_study(study, {job("a"), job("b", {"a"})}, {cell("a")});
  EXPECT_EQ(changes(), before);
  store.record_study(study, {job("a"), job("b", {"a"})}, {cell("a"), cell("b")});
  EXPECT_NE(changes(), before);
  EXPECT_THAT(store.cells("s"), ElementsAre(cell("a"), cell("b")));
}

TEST_F(StoreTest, ACellOfOneLevelHasTheNumbersOfThatLevelAlone) {
  Store store(path_);
  StudyCell pixel = cell("j");
  pixel.level = "pixel";
  pixel.epoch = 5;
  pixel.on_train = true;
  store.record_study({"s", "", ""}, {job("j")}, {pixel, cell("j")});
  EXPECT_THAT(store.cells("s"), ElementsAre(pixel, cell("j")));
  store.adopt_result("j", {nlohmann::json::object(), {metric("cell", 0.5), metric("mean", 0.5)}});
  EXPECT_EQ(count("SELECT count(*) FROM metric_values"), 2) << "image metrics, of the second cell";
  ASSERT_EQ(store.metric_values("s", "mean").size(), 1U);
  EXPECT_EQ(store.metric_values("s", "mean")[0].position, 1);
}

TEST_F(StoreTest, CountsJobsByKindAndState) {
  Store store(path_);
  store.record_study({"s", "", ""}, {job("a"), job("b")}, {});
  store.record_jobs({job("c")});
  store.adopt_results(
      {{"a", {nlohmann::json::object(), {}}}, {"c", {nlohmann::json::object(), {}}}});
  const auto text = [&](std::string_view study) {
    std::string counts;
    for (const StateCount& count : store.count_jobs(study)) {
      counts += fmt::format("{} {} {};", count.kind, count.state, count.jobs);
    }
    return counts;
  };
  EXPECT_EQ(text("s"), "evaluate done 1;evaluate planned 1;");
  EXPECT_EQ(text(""), "evaluate done 2;evaluate planned 1;");
}

TEST_F(StoreTest, IsReadWhereItsFolderCannotBeWritten) {
  {
    Store store(path_);
    store.record_jobs({job("a")});
  }
  Database reader(path_, Access::kRead);
  EXPECT_NO_THROW(check_version(reader, store_schema()));
  EXPECT_THROW(reader.execute("DELETE FROM jobs"), StoreError);
  const Schema next{store_schema().version + 1, "", {}};
  EXPECT_THAT([&] { check_version(reader, next); },
              ThrowsMessage<StoreError>(HasSubstr("its folder cannot be written")));
  EXPECT_THROW(Database(folder_ / "none.db", Access::kRead), StoreError);
}

class MigrationTest : public StoreTest {
 protected:
  void SetUp() override { std::filesystem::create_directories(path_.parent_path()); }
  Schema next(std::string sql) {
    steps_ = {{now_, std::move(sql)}};
    return {now_ + 1, "unused", steps_};
  }
  std::int64_t now_ = store_schema().version;
  std::vector<Migration> steps_;
};

TEST_F(MigrationTest, MigratesAnOlderStoreAndKeepsACopyOfIt) {
  {
    Store store(path_);
    store.record_jobs({job("a")});
  }
  Database database(path_);
  bring_up_to_date(database, next("ALTER TABLE jobs ADD COLUMN priority INTEGER DEFAULT 7"));
  EXPECT_EQ(count("SELECT priority FROM jobs"), 7);
  EXPECT_EQ(count("SELECT version FROM schema_version"), now_ + 1);
  Database copy(fmt::format("{}.v{}.bak", path_.string(), now_));
  Statement version =
      copy.prepare("SELECT version, (SELECT count(*) FROM jobs) FROM schema_version");
  ASSERT_TRUE(version.step());
  EXPECT_EQ(version.integer(0), now_);
  EXPECT_EQ(version.integer(1), 1);
}

// tests/data/results/store-v1.sql is the schema.sql of version 1.
TEST_F(MigrationTest, AStoreOfVersion1KeepsItsNumbers) {
  {
    Database database(path_);
    database.execute(read_file(std::string(ASSAY_TEST_DATA) + "/results/store-v1.sql"));
    database.execute(
        "INSERT INTO schema_version VALUES (1);"
        "INSERT INTO studies (name, path, text, planned_at) VALUES ('s', '', '', '');"
        "INSERT INTO jobs (id, kind, spec, cost_class, work) VALUES ('j', 'evaluate', '{}', 'c', "
        "1);"
        "INSERT INTO study_cells VALUES (1, 0, 'j', 'faprompt', 'paper', '{}', 3, 'synth-a', "
        "'elpv', 128, '{\"backbone\":\"assay-tiny\"}', 0);"
        "INSERT INTO metrics VALUES ('j', 'elpv', 'cell', 'image', 'auroc', 0.75, '', 5, 7, NULL, "
        "NULL)");
  }
  const Store store(path_);
  EXPECT_THAT(store.cells("s"), ElementsAre(cell("j")));
  EXPECT_THAT(store.metric_values("s"),
              ElementsAre(Field(&MetricValue::row, metric("cell", 0.75))));
  EXPECT_EQ(count("SELECT count(*) FROM metric_values WHERE epoch IS NULL AND on_train = 0"), 1);
}

TEST_F(MigrationTest, AFailedMigrationLeavesTheOldStoreAsItWas) {
  { Store store(path_); }
  Database database(path_);
  EXPECT_THROW(bring_up_to_date(database, next("ALTER TABLE jobs ADD COLUMN priority INTEGER;"
                                               "ALTER TABLE nowhere ADD COLUMN x")),
               StoreError);
  EXPECT_EQ(count("SELECT version FROM schema_version"), now_);
  EXPECT_EQ(count("SELECT count(*) FROM pragma_table_info('jobs') WHERE name = 'priority'"), 0);
}

TEST_F(MigrationTest, RefusesAStoreThatIsTooOld) {
  { Store store(path_); }
  Database database(path_);
  const Schema far{now_ + 2, "", {}};
  EXPECT_THAT([&] { bring_up_to_date(database, far); },
              ThrowsMessage<StoreError>(HasSubstr(fmt::format(
                  "schema version {0}, this build of assay reads {1} and knows no way from {0} on",
                  now_, now_ + 2))));
}

TEST(DatasetMeans, AreUnweightedOverTheCategoriesWhereTheMetricIsDefined) {
  const auto rows = with_dataset_means({metric("a", 0.9), metric("b", 0.8), metric("c", {})});
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[3].category, "mean");
  EXPECT_DOUBLE_EQ(*rows[3].value, 0.85);
  EXPECT_EQ(rows[3].num_categories, 2);
}

TEST(DatasetMeans, AreUndefinedWhereNoCategoryHasAValue) {
  const auto rows = with_dataset_means({metric("a", {}), metric("b", {})});
  EXPECT_EQ(rows[2].value, std::nullopt);
  EXPECT_EQ(rows[2].undefined_because, "no_normals");
  EXPECT_EQ(rows[2].num_categories, 0);
}

TEST(TransactionTest, RollsBackUnlessCommitted) {
  const TemporaryFolder folder;
  Database database(folder / "t.db");
  database.execute("CREATE TABLE t (x INTEGER)");
  {
    Transaction transaction(database);
    database.execute("INSERT INTO t VALUES (1)");
  }
  Statement rows = database.prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.integer(0), 0);
}

TEST(TransactionTest, OneWithinAnotherEndsWithIt) {
  const TemporaryFolder folder;
  Database database(folder / "t.db");
  database.execute("CREATE TABLE t (x INTEGER)");
  {
    Transaction outer(database);
    Transaction inner(database);
    database.execute("INSERT INTO t VALUES (1)");
    inner.commit();
  }
  Statement rows = database.prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.integer(0), 0);
}

}  // namespace
}  // namespace assay
