#include "results/store.h"

#include "core/error.h"
#include "results/schema.h"

#include <fmt/chrono.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace assay {
namespace {

using nlohmann::json;

/// WAL needs shared memory between the processes of one host: not over a network.
bool is_local(const std::filesystem::path& folder) {
  // NFS, SMB, CIFS, SMB2, 9P, AFS, Ceph, FUSE (sshfs, ...), GPFS, Lustre, BeeGFS: statfs(2) and the
  // file systems' own headers.
  constexpr std::array<std::uint64_t, 11> kNetwork = {
      0x6969,     0x517B,     0xFF534D42, 0xFE534D42, 0x01021997, 0x5346414F,
      0x00C36400, 0x65735546, 0x47504653, 0x0BD00BD0, 0x19830326};
  struct statfs info {};
  if (::statfs(folder.c_str(), &info) != 0) return false;
  const auto type = static_cast<std::uint64_t>(info.f_type) & 0xFFFFFFFFU;
  return std::ranges::find(kNetwork, type) == kNetwork.end();
}

std::filesystem::path with_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::absolute(path).parent_path(), error);
  if (error) throw StoreError("{}: cannot make its folder: {}", path.string(), error.message());
  return path;
}

std::string now() {
  const auto time = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (time - seconds).count());
}

json parsed(const std::string& text) { return json::parse(text); }

StudyCell read_cell(const Statement& row, int column) {
  return {.job = row.text(column),
          .method = row.text(column + 1),
          .preset = row.text(column + 2),
          .params = parsed(row.text(column + 3)),
          .seed = row.optional_integer(column + 4),
          .train_dataset = row.text(column + 5),
          .dataset = row.text(column + 6),
          .eval_size = row.integer(column + 7),
          .protocol = parsed(row.text(column + 8)),
          .overlap = row.integer(column + 9)};
}

constexpr std::string_view kCellColumns =
    "c.job, c.method, c.preset, c.params, c.seed, c.train_dataset, c.dataset, c.eval_size, "
    "c.protocol, c.overlap";

}  // namespace

Store::Store(const std::filesystem::path& path) : database_(with_folder(path)) {
  const bool local = is_local(std::filesystem::absolute(path).parent_path());
  database_.execute(local ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE");
  // FULL: what was reported as done stays done after a power cut, for one fsync a transaction.
  database_.execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
  bring_up_to_date(database_, store_schema());
}

void Store::put_jobs(const std::vector<JobRecord>& jobs) {
  Statement job = database_.prepare(
      "INSERT INTO jobs (id, kind, spec, cost_class, work) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET cost_class = excluded.cost_class, work = excluded.work");
  Statement dependency =
      database_.prepare("INSERT OR IGNORE INTO job_dependencies (job, needs) VALUES (?, ?)");
  for (const JobRecord& record : jobs) {
    job.bind(1, record.id).bind(2, record.kind).bind(3, record.spec.dump());
    job.bind(4, record.cost_class).bind(5, record.work).run();
  }
  for (const JobRecord& record : jobs) {
    for (const std::string& needs : record.dependencies) {
      dependency.bind(1, record.id).bind(2, needs).run();
    }
  }
}

void Store::record_jobs(const std::vector<JobRecord>& jobs) {
  Transaction transaction(database_);
  put_jobs(jobs);
  transaction.commit();
}

void Store::record_study(const StudyRecord& study,
                         const std::vector<JobRecord>& jobs,
                         const std::vector<StudyCell>& cells) {
  Transaction transaction(database_);
  put_jobs(jobs);
  Statement insert_study = database_.prepare(
      "INSERT INTO studies (name, path, text, planned_at) VALUES (?, ?, ?, ?) "
      "ON CONFLICT (name) DO UPDATE SET path = excluded.path, text = excluded.text, "
      "planned_at = excluded.planned_at RETURNING id");
  insert_study.bind(1, study.name).bind(2, study.path).bind(3, study.text).bind(4, now());
  if (!insert_study.step()) throw StoreError("study '{}' was not stored", study.name);
  const std::int64_t id = insert_study.integer(0);
  insert_study.run();

  database_.prepare("DELETE FROM study_jobs WHERE study = ?").bind(1, id).run();
  database_.prepare("DELETE FROM study_cells WHERE study = ?").bind(1, id).run();
  Statement insert_job = database_.prepare("INSERT INTO study_jobs (study, job) VALUES (?, ?)");
  for (const JobRecord& job : jobs) insert_job.bind(1, id).bind(2, job.id).run();
  Statement insert_cell = database_.prepare(
      "INSERT INTO study_cells (study, position, job, method, preset, params, seed, "
      "train_dataset, dataset, eval_size, protocol, overlap) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const StudyCell& cell : cells) {
    insert_cell.bind(1, id).bind(2, position++).bind(3, cell.job).bind(4, cell.method);
    insert_cell.bind(5, cell.preset).bind(6, cell.params.dump()).bind(7, cell.seed);
    insert_cell.bind(8, cell.train_dataset).bind(9, cell.dataset).bind(10, cell.eval_size);
    insert_cell.bind(11, cell.protocol.dump()).bind(12, cell.overlap).run();
  }
  transaction.commit();
}

std::int64_t Store::environment_id(const json& facts) {
  const std::string text = facts.dump();
  database_.prepare("INSERT OR IGNORE INTO environment (facts) VALUES (?)").bind(1, text).run();
  Statement find = database_.prepare("SELECT id FROM environment WHERE facts = ?");
  find.bind(1, text);
  if (!find.step()) throw StoreError("the environment was not stored");
  return find.integer(0);
}

Attempt Store::begin_attempt(const AttemptStart& start, const std::filesystem::path& job_folder) {
  Transaction transaction(database_);
  Statement last = database_.prepare("SELECT coalesce(max(number), 0) FROM attempts WHERE job = ?");
  last.bind(1, start.job);
  const std::int64_t number = (last.step() ? last.integer(0) : 0) + 1;
  const std::string log = (job_folder / fmt::format("attempt-{}", number) / "rank0.log").string();
  Statement insert = database_.prepare(
      "INSERT INTO attempts (job, number, gang, ranks, host, pid, started_at, log_path, "
      "cpu_capability, threads, environment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(1, start.job).bind(2, number).bind(3, start.gang).bind(4, start.ranks);
  insert.bind(5, start.host).bind(6, start.pid).bind(7, now()).bind(8, log);
  insert.bind(9, start.cpu_capability).bind(10, start.threads);
  insert.bind(11, environment_id(start.environment)).run();
  const std::int64_t id = database_.last_insert_id();
  database_.prepare("UPDATE jobs SET state = 'running' WHERE id = ?").bind(1, start.job).run();
  transaction.commit();
  return select_attempts("a.id", std::to_string(id)).at(0);
}

void Store::put_result(const std::string& job, const JobResult& result) {
  Statement done =
      database_.prepare("UPDATE jobs SET state = 'done', result = ?, done_at = ? WHERE id = ?");
  done.bind(1, result.result.dump()).bind(2, now()).bind(3, job).run();
  database_.prepare("DELETE FROM metrics WHERE job = ?").bind(1, job).run();
  Statement insert = database_.prepare(
      "INSERT INTO metrics (job, dataset, category, level, metric, value, undefined_because, "
      "num_normal, num_anomalous, num_regions, num_categories) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (const MetricRow& row : result.metrics) {
    insert.bind(1, job).bind(2, row.dataset).bind(3, row.category).bind(4, row.level);
    insert.bind(5, row.metric).bind(6, row.value).bind(7, row.undefined_because);
    insert.bind(8, row.num_normal).bind(9, row.num_anomalous).bind(10, row.num_regions);
    insert.bind(11, row.num_categories).run();
  }
}

void Store::finish_attempt(std::int64_t attempt, const AttemptEnd& end, const JobResult* result) {
  Transaction transaction(database_);
  Statement find = database_.prepare("SELECT job FROM attempts WHERE id = ?");
  find.bind(1, attempt);
  if (!find.step()) throw StoreError("attempt {} is not in the store", attempt);
  const std::string job = find.text(0);
  Statement update = database_.prepare(
      "UPDATE attempts SET ended_at = ?, seconds = ?, outcome = ?, exit_code = ?, signal = ?, "
      "message = ? WHERE id = ?");
  update.bind(1, now());
  update.bind(2, end.seconds > 0 ? std::optional(end.seconds) : std::nullopt);
  update.bind(3, end.outcome).bind(4, end.exit_code).bind(5, end.signal);
  update.bind(6, end.message).bind(7, attempt).run();
  if (end.outcome == "done") {
    if (result == nullptr) throw StoreError("job {} is done without a result", job);
    put_result(job, *result);
  } else {
    const std::string_view state = end.outcome == "failed" ? "failed" : "planned";
    database_.prepare("UPDATE jobs SET state = ? WHERE id = ? AND state <> 'done'")
        .bind(1, state)
        .bind(2, job)
        .run();
  }
  transaction.commit();
}

void Store::adopt_result(const std::string& job, const JobResult& result) {
  Transaction transaction(database_);
  put_result(job, result);
  transaction.commit();
}

void Store::reset_failed(const std::string& job) {
  database_.prepare("UPDATE jobs SET state = 'planned' WHERE id = ? AND state = 'failed'")
      .bind(1, job)
      .run();
}

std::set<std::string> Store::done_jobs() const {
  std::set<std::string> ids;
  Statement select = database_.prepare("SELECT id FROM jobs WHERE state = 'done'");
  while (select.step()) ids.insert(select.text(0));
  return ids;
}

std::vector<JobStatus> Store::jobs(std::string_view study) const {
  Statement select = database_.prepare(
      "SELECT id, kind, state, cost_class, work, "
      "(SELECT count(*) FROM attempts WHERE attempts.job = jobs.id) FROM jobs WHERE ?1 = '' OR "
      "id IN (SELECT job FROM study_jobs JOIN studies ON studies.id = study WHERE name = ?1) "
      "ORDER BY rowid");
  select.bind(1, study);
  std::vector<JobStatus> found;
  while (select.step()) {
    found.push_back({.id = select.text(0),
                     .kind = select.text(1),
                     .state = select.text(2),
                     .cost_class = select.text(3),
                     .work = select.real(4),
                     .num_attempts = select.integer(5)});
  }
  return found;
}

JobRecord Store::job(const std::string& id) const {
  Statement select =
      database_.prepare("SELECT kind, spec, cost_class, work FROM jobs WHERE id = ?");
  select.bind(1, id);
  if (!select.step()) throw StoreError("{}: job {} is not there", database_.path().string(), id);
  JobRecord record{.id = id,
                   .kind = select.text(0),
                   .spec = parsed(select.text(1)),
                   .dependencies = {},
                   .cost_class = select.text(2),
                   .work = select.real(3)};
  Statement needs =
      database_.prepare("SELECT needs FROM job_dependencies WHERE job = ? ORDER BY needs");
  needs.bind(1, id);
  while (needs.step()) record.dependencies.push_back(needs.text(0));
  return record;
}

std::optional<json> Store::result(const std::string& job) const {
  Statement select = database_.prepare("SELECT result FROM jobs WHERE id = ? AND state = 'done'");
  select.bind(1, job);
  if (!select.step()) return std::nullopt;
  return parsed(select.text(0));
}

std::string Store::find_job(std::string_view prefix) const {
  Statement select =
      database_.prepare("SELECT id FROM jobs WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2");
  select.bind(1, prefix);
  if (prefix.empty() || !select.step()) {
    throw ConfigError("no job's id starts with '{}'; 'assay status --jobs' lists them", prefix);
  }
  const std::string id = select.text(0);
  if (select.step()) {
    throw ConfigError("more than one job's id starts with '{}'; give more digits", prefix);
  }
  return id;
}

std::vector<StudyRecord> Store::studies() const {
  Statement select = database_.prepare("SELECT name, path, text FROM studies ORDER BY name");
  std::vector<StudyRecord> found;
  while (select.step()) found.push_back({select.text(0), select.text(1), select.text(2)});
  return found;
}

std::vector<std::string> Store::studies_of(const std::string& job) const {
  Statement select = database_.prepare(
      "SELECT name FROM study_jobs JOIN studies ON studies.id = study WHERE job = ? ORDER BY name");
  select.bind(1, job);
  std::vector<std::string> names;
  while (select.step()) names.push_back(select.text(0));
  return names;
}

std::vector<Attempt> Store::select_attempts(std::string_view where, std::string_view value) const {
  Statement select = database_.prepare(
      "SELECT a.id, a.job, a.number, a.gang, a.ranks, a.host, a.pid, a.started_at, a.ended_at, "
      "a.seconds, a.outcome, a.exit_code, a.signal, a.message, a.log_path FROM attempts AS a "
      "WHERE " +
      std::string(where) + " = ? ORDER BY a.id");
  select.bind(1, value);
  std::vector<Attempt> found;
  while (select.step()) {
    found.push_back({.id = select.integer(0),
                     .job = select.text(1),
                     .number = select.integer(2),
                     .gang = select.integer(3),
                     .ranks = select.integer(4),
                     .host = select.text(5),
                     .pid = select.integer(6),
                     .started_at = select.text(7),
                     .ended_at = select.text(8),
                     .seconds = select.optional_real(9),
                     .outcome = select.text(10),
                     .exit_code = select.optional_integer(11),
                     .signal = select.optional_integer(12),
                     .message = select.text(13),
                     .log_path = select.text(14)});
  }
  return found;
}

std::vector<Attempt> Store::attempts(const std::string& job) const {
  return select_attempts("a.job", job);
}

std::vector<Attempt> Store::open_attempts() const {
  return select_attempts("a.outcome", "running");
}

std::vector<StudyCell> Store::cells(std::string_view study) const {
  Statement select = database_.prepare(
      fmt::format("SELECT {} FROM study_cells AS c JOIN studies ON studies.id = c.study "
                  "WHERE studies.name = ? ORDER BY c.position",
                  kCellColumns));
  select.bind(1, study);
  std::vector<StudyCell> found;
  while (select.step()) found.push_back(read_cell(select, 0));
  return found;
}

std::vector<MetricValue> Store::metric_values(std::string_view study) const {
  Statement select = database_.prepare(fmt::format(
      "SELECT {}, c.position, m.dataset, m.category, m.level, m.metric, m.value, "
      "m.undefined_because, m.num_normal, m.num_anomalous, m.num_regions, m.num_categories "
      "FROM study_cells AS c JOIN studies ON studies.id = c.study JOIN metrics AS m ON "
      "m.job = c.job WHERE studies.name = ? "
      "ORDER BY c.position, m.dataset, m.category, m.level, m.metric",
      kCellColumns));
  select.bind(1, study);
  std::vector<MetricValue> found;
  while (select.step()) {
    found.push_back({.cell = read_cell(select, 0),
                     .position = select.integer(10),
                     .row = {.dataset = select.text(11),
                             .category = select.text(12),
                             .level = select.text(13),
                             .metric = select.text(14),
                             .value = select.optional_real(15),
                             .undefined_because = select.text(16),
                             .num_normal = select.optional_integer(17),
                             .num_anomalous = select.optional_integer(18),
                             .num_regions = select.optional_integer(19),
                             .num_categories = select.optional_integer(20)}});
  }
  return found;
}

std::map<std::string, double> Store::seconds_per_work() const {
  Statement select = database_.prepare(
      "SELECT cost_class, sum(seconds) / sum(work) FROM attempts JOIN jobs ON jobs.id = job "
      "WHERE outcome = 'done' AND seconds IS NOT NULL AND work > 0 GROUP BY cost_class");
  std::map<std::string, double> found;
  while (select.step()) found[select.text(0)] = select.real(1);
  return found;
}

}  // namespace assay
