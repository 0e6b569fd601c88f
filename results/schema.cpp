#include "results/schema.h"

#include "core/error.h"
#include "core/file.h"

#include <algorithm>
#include <array>

namespace assay {

extern const char kSchemaSql[];  // results/schema.sql, made into C++ by CMake.

namespace {

std::int64_t count(Database& database, std::string_view sql) {
  Statement statement = database.prepare(sql);
  return statement.step() ? statement.integer(0) : 0;
}

/// Nothing for an empty file.
std::optional<std::int64_t> stored_version(Database& database) {
  if (count(database, "SELECT count(*) FROM sqlite_master") == 0) return std::nullopt;
  if (count(database,
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND "
            "name IN ('schema_version', 'jobs', 'metrics')") != 3) {
    throw StoreError("{}: a database of another program, not a store of assay; move it away",
                     database.path().string());
  }
  Statement statement = database.prepare("SELECT version FROM schema_version");
  if (!statement.step()) {
    throw StoreError("{}: the table schema_version is empty; restore a copy",
                     database.path().string());
  }
  return statement.integer(0);
}

void set_version(Database& database, std::int64_t version) {
  database.execute("DELETE FROM schema_version");
  database.prepare("INSERT INTO schema_version (version) VALUES (?)").bind(1, version).run();
}

/// A consistent copy, whatever is still in the write-ahead log.
void back_up(Database& database, std::int64_t version) {
  const std::filesystem::path copy =
      database.path().string() + ".v" + std::to_string(version) + ".bak";
  if (std::filesystem::exists(copy)) return;  // Of an earlier migration that was interrupted.
  const std::filesystem::path partial = copy.string() + ".partial";
  std::filesystem::remove(partial);
  database.prepare("VACUUM INTO ?").bind(1, std::string_view(partial.native())).run();
  std::filesystem::rename(partial, copy);
  fsync_folder(std::filesystem::absolute(copy).parent_path());
}

[[noreturn]] void refuse_newer(const Database& database, std::int64_t found, const Schema& schema) {
  throw StoreError("{}: schema version {}, this build of assay reads {}; use the newer build",
                   database.path().string(), found, schema.version);
}

}  // namespace

const Schema& store_schema() {
  static const std::array<Migration, 3> migrations = {{{1, R"sql(
    ALTER TABLE studies ADD COLUMN plan_digest TEXT NOT NULL DEFAULT '';
    ALTER TABLE study_cells ADD COLUMN level TEXT NOT NULL DEFAULT '';
    ALTER TABLE study_cells ADD COLUMN epoch INTEGER;
    ALTER TABLE study_cells ADD COLUMN on_train INTEGER NOT NULL DEFAULT 0;
    DROP VIEW metric_values;
    CREATE VIEW metric_values AS
      SELECT studies.name AS study, method, preset, params, seed, train_dataset,
             metrics.dataset AS dataset, category, metrics.level AS level, metric, value,
             study_cells.job AS job, epoch, on_train
      FROM study_cells
      JOIN studies ON studies.id = study_cells.study
      JOIN metrics ON metrics.job = study_cells.job
                  AND study_cells.level IN ('', metrics.level);)sql"},
                                                       {2, R"sql(
    CREATE VIEW costs AS
      SELECT studies.name AS study, json_extract(spec, '$.method') AS method,
             json_extract(result, '$.preset') AS preset, json_extract(spec, '$.phase') AS phase,
             json_extract(spec, '$.form') AS form, json_extract(spec, '$.batch') AS batch,
             json_extract(spec, '$.device') AS device, json_extract(spec, '$.host') AS host,
             figure.key AS figure, figure.value AS value, jobs.id AS job
      FROM jobs
      JOIN study_jobs ON study_jobs.job = jobs.id
      JOIN studies ON studies.id = study_jobs.study
      JOIN json_each(jobs.result, '$.figures') AS figure
      WHERE jobs.kind = 'profile';)sql"},
                                                       {3, R"sql(
    CREATE INDEX attempts_running ON attempts(outcome) WHERE outcome = 'running';)sql"}}};
  static const Schema schema{4, kSchemaSql, migrations};
  return schema;
}

void check_version(Database& database, const Schema& schema) {
  const std::int64_t found = stored_version(database).value_or(0);
  if (found == schema.version) return;
  if (found > schema.version) refuse_newer(database, found, schema);
  throw StoreError(
      "{}: schema version {}, this build of assay reads {}, and its folder cannot be written to "
      "bring it up to date; copy it to where it can",
      database.path().string(), found, schema.version);
}

void bring_up_to_date(Database& database, const Schema& schema) {
  const std::optional<std::int64_t> found = stored_version(database);
  if (found == schema.version) return;
  if (found && *found > schema.version) refuse_newer(database, *found, schema);
  if (found) back_up(database, *found);
  Transaction transaction(database);
  // Another process may have been faster.
  const std::optional<std::int64_t> now = stored_version(database);
  if (!now) database.execute(schema.sql);
  for (std::int64_t version = now.value_or(schema.version); version < schema.version; ++version) {
    const auto step = std::ranges::find(schema.migrations, version, &Migration::from);
    if (step == schema.migrations.end()) {
      throw StoreError(
          "{}: schema version {}, this build of assay reads {} and knows no way from "
          "{} on; open it with an older build first",
          database.path().string(), *found, schema.version, version);
    }
    database.execute(step->sql);
  }
  set_version(database, schema.version);
  transaction.commit();
}

}  // namespace assay
