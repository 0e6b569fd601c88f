#include "results/store.h"

#include "core/digest.h"
#include "core/error.h"
#include "core/utc_time.h"
#include "results/schema.h"

#include <fmt/format.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <unordered_map>

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

/// Of all that `Store::record_study` writes beside the study's text.
std::string digest_of(const std::vector<JobRecord>& jobs, const std::vector<StudyCell>& cells) {
  std::string text;
  for (const JobRecord& job : jobs) {
    fmt::format_to(std::back_inserter(text), "{} {} {}\n", job.id, job.cost_class, job.work);
    for (const std::string& needed : job.dependencies) text += needed + "\n";
  }
  std::unordered_map<const void*, std::string> dumps;
  const auto dump = [&](const SharedJson& value) -> const std::string& {
    std::string& known = dumps[value.address()];
    if (known.empty()) known = value->dump();
    return known;
  };
  for (const StudyCell& cell : cells) {
    fmt::format_to(std::back_inserter(text), "{} {} {} {} {} {} {} {} {} {} {} {} {}\n", cell.job,
                   cell.method, cell.preset, dump(cell.params), cell.seed.value_or(-1),
                   cell.train_dataset, cell.dataset, cell.eval_size, dump(cell.protocol),
                   cell.overlap, cell.level, cell.epoch.value_or(-1), cell.on_train);
  }
  return sha256(text);
}

/// There, in a folder that cannot be written: on a disk mounted for reading, or somebody else's.
bool is_read_only(const std::filesystem::path& path) {
  return std::filesystem::exists(path) &&
         ::access(std::filesystem::absolute(path).parent_path().c_str(), W_OK) != 0;
}

}  // namespace

Store::Store(const std::filesystem::path& path)
    : database_(with_folder(path), is_read_only(path) ? Access::kRead : Access::kWrite) {
  if (is_read_only(path)) {
    check_version(database_, store_schema());
    return;
  }
  const bool local = is_local(std::filesystem::absolute(path).parent_path());
  database_.set_journal_mode(local ? "WAL" : "DELETE");
  // In WAL a power cut may take the last transactions, and never damages the rest. What they said
  // is said by job folders too, which are made durable before: the next run adopts it.
  database_.execute(local ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL");
  database_.execute("PRAGMA foreign_keys = ON");
  bring_up_to_date(database_, store_schema());
}

void Store::gather() {
  if (!gathered_) gathered_.emplace(database_);
}

void Store::save() {
  if (!gathered_) return;
  gathered_->commit();
  gathered_.reset();
}

void Store::put_jobs(const std::vector<JobRecord>& jobs) {
  Statement job = database_.prepare(
      "INSERT INTO jobs (id, kind, spec, cost_class, work) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET cost_class = excluded.cost_class, work = excluded.work");
  Statement dependency =
      database_.prepare("INSERT OR IGNORE INTO job_dependencies (job, needs) VALUES (?, ?)");
  for (const JobRecord& record : jobs) {
    job.bind(1, record.id).bind(2, record.kind).bind(3, record.spec);
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
  const std::string digest = digest_of(jobs, cells);
  if (is_recorded(study, digest)) return;
  Transaction transaction(database_);
  put_jobs(jobs);
  Statement insert_study = database_.prepare(
      "INSERT INTO studies (name, path, text, planned_at, plan_digest) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (name) DO UPDATE SET path = excluded.path, text = excluded.text, "
      "planned_at = excluded.planned_at, plan_digest = excluded.plan_digest RETURNING id");
  insert_study.bind(1, study.name).bind(2, study.path).bind(3, study.text).bind(4, utc_now());
  insert_study.bind(5, digest);
  if (!insert_study.step()) throw StoreError("study '{}' was not stored", study.name);
  const std::int64_t id = insert_study.integer(0);
  insert_study.run();

  database_.prepare("DELETE FROM study_jobs WHERE study = ?").bind(1, id).run();
  database_.prepare("DELETE FROM study_cells WHERE study = ?").bind(1, id).run();
  Statement insert_job = database_.prepare("INSERT INTO study_jobs (study, job) VALUES (?, ?)");
  for (const JobRecord& job : jobs) insert_job.bind(1, id).bind(2, job.id).run();
  Statement insert_cell = database_.prepare(
      "INSERT INTO study_cells (study, position, job, method, preset, params, seed, "
      "train_dataset, dataset, eval_size, protocol, overlap, level, epoch, on_train) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const StudyCell& cell : cells) {
    insert_cell.bind(1, id).bind(2, position++).bind(3, cell.job).bind(4, cell.method);
    insert_cell.bind(5, cell.preset).bind(6, cell.params->dump()).bind(7, cell.seed);
    insert_cell.bind(8, cell.train_dataset).bind(9, cell.dataset).bind(10, cell.eval_size);
    insert_cell.bind(11, cell.protocol->dump()).bind(12, cell.overlap).bind(13, cell.level);
    insert_cell.bind(14, cell.epoch).bind(15, std::int64_t{cell.on_train}).run();
  }
  transaction.commit();
}

bool Store::is_recorded(const StudyRecord& study, const std::string& plan_digest) const {
  Statement select = database_.prepare(
      "SELECT count(*) FROM studies WHERE name = ? AND path = ? AND text = ? AND plan_digest = ?");
  select.bind(1, study.name).bind(2, study.path).bind(3, study.text).bind(4, plan_digest);
  return select.step() && select.integer(0) == 1;
}

std::int64_t Store::environment_id(const SharedJson& facts) {
  if (environment_id_ && facts.address() == environment_.address()) return *environment_id_;
  const std::string text = facts->dump();
  database_.prepare("INSERT OR IGNORE INTO environment (facts) VALUES (?)").bind(1, text).run();
  Statement find = database_.prepare("SELECT id FROM environment WHERE facts = ?");
  find.bind(1, text);
  if (!find.step()) throw StoreError("the environment was not stored");
  environment_ = facts;
  environment_id_ = find.integer(0);
  return *environment_id_;
}

Attempt Store::next_attempt(const AttemptStart& start,
                            const std::filesystem::path& job_folder) const {
  Statement last = database_.prepare("SELECT coalesce(max(number), 0) FROM attempts WHERE job = ?");
  last.bind(1, start.job);
  const std::int64_t number = (last.step() ? last.integer(0) : 0) + 1;
  return {.job = start.job,
          .number = number,
          .gang = start.gang,
          .ranks = start.ranks,
          .host = start.host,
          .pid = start.pid,
          .started_at = utc_now(),
          .ended_at = {},
          .seconds = {},
          .outcome = "running",
          .message = {},
          .log_path = fmt::format("{}/attempt-{}/rank0.log", job_folder.native(), number),
          .cpu_capability = start.cpu_capability,
          .threads = start.threads,
          .environment = start.environment};
}

void Store::begin(Attempt& attempt) {
  // Before the transaction: what that rolls back would have no id.
  const std::int64_t environment = environment_id(attempt.environment);
  Transaction transaction(database_);
  const std::int64_t id = insert_attempt(attempt, environment);
  database_.prepare("UPDATE jobs SET state = 'running' WHERE id = ?").bind(1, attempt.job).run();
  transaction.commit();
  attempt.id = id;
}

Attempt Store::begin_attempt(const AttemptStart& start, const std::filesystem::path& job_folder) {
  Attempt attempt = next_attempt(start, job_folder);
  begin(attempt);
  return attempt;
}

std::int64_t Store::insert_attempt(const Attempt& attempt, std::int64_t environment) {
  Statement insert = database_.prepare(
      "INSERT INTO attempts (job, number, gang, ranks, host, pid, started_at, ended_at, seconds, "
      "outcome, exit_code, signal, message, log_path, cpu_capability, threads, environment) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(1, attempt.job).bind(2, attempt.number).bind(3, attempt.gang);
  insert.bind(4, attempt.ranks).bind(5, attempt.host).bind(6, attempt.pid);
  insert.bind(7, attempt.started_at);
  insert.bind(8, attempt.ended_at.empty() ? std::nullopt : std::optional(attempt.ended_at));
  insert.bind(9, attempt.seconds);
  insert.bind(10, attempt.outcome).bind(11, attempt.exit_code).bind(12, attempt.signal);
  insert.bind(13, attempt.message).bind(14, attempt.log_path).bind(15, attempt.cpu_capability);
  insert.bind(16, attempt.threads).bind(17, environment).run();
  return database_.last_insert_id();
}

void Store::put_result(const std::string& job,
                       const JobResult& result,
                       const std::string& done_at) {
  Statement done =
      database_.prepare("UPDATE jobs SET state = 'done', result = ?, done_at = ? WHERE id = ?");
  done.bind(1, result.result.dump()).bind(2, done_at).bind(3, job).run();
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

void Store::set_end(const Attempt& attempt) {
  Statement update = database_.prepare(
      "UPDATE attempts SET ended_at = ?, seconds = ?, outcome = ?, exit_code = ?, signal = ?, "
      "message = ? WHERE id = ? RETURNING id");
  update.bind(1, attempt.ended_at).bind(2, attempt.seconds).bind(3, attempt.outcome);
  update.bind(4, attempt.exit_code).bind(5, attempt.signal).bind(6, attempt.message);
  update.bind(7, attempt.id);
  if (!update.step()) throw StoreError("attempt {} is not in the store", attempt.id);
  update.run();
}

Attempt Store::finish_attempt(Attempt attempt, const AttemptEnd& end, const JobResult* result) {
  attempt.ended_at = utc_now();
  attempt.seconds = end.seconds > 0 ? std::optional(end.seconds) : std::nullopt;
  attempt.outcome = end.outcome;
  attempt.exit_code = end.exit_code;
  attempt.signal = end.signal;
  attempt.message = end.message;
  const std::int64_t environment = environment_id(attempt.environment);
  Transaction transaction(database_);
  if (attempt.id == 0) {
    attempt.id = insert_attempt(attempt, environment);
  } else {
    set_end(attempt);
  }
  if (end.outcome == "done") {
    if (result == nullptr) throw StoreError("job {} is done without a result", attempt.job);
    put_result(attempt.job, *result, attempt.ended_at);
  } else {
    set_state_after(attempt);
  }
  transaction.commit();
  return attempt;
}

/// Of a job whose attempt left no result.
void Store::set_state_after(const Attempt& attempt) {
  const std::string_view state = attempt.outcome == "failed" ? "failed" : "planned";
  database_.prepare("UPDATE jobs SET state = ? WHERE id = ? AND state <> 'done'")
      .bind(1, state)
      .bind(2, attempt.job)
      .run();
}

void Store::adopt_result(const std::string& job,
                         const JobResult& result,
                         const std::string& done_at) {
  Transaction transaction(database_);
  put_result(job, result, done_at.empty() ? utc_now() : done_at);
  transaction.commit();
}

void Store::forget_result(const std::string& job) {
  Transaction transaction(database_);
  database_.prepare("UPDATE jobs SET state = 'planned', result = NULL, done_at = NULL WHERE id = ?")
      .bind(1, job)
      .run();
  database_.prepare("DELETE FROM metrics WHERE job = ?").bind(1, job).run();
  transaction.commit();
}

void Store::reset_failed(const std::string& job) {
  database_.prepare("UPDATE jobs SET state = 'planned' WHERE id = ? AND state = 'failed'")
      .bind(1, job)
      .run();
}

void Store::adopt_results(const std::vector<std::pair<std::string, JobResult>>& results) {
  Transaction transaction(database_);
  for (const auto& [job, result] : results) put_result(job, result, utc_now());
  transaction.commit();
}

void Store::add_attempt(const Attempt& attempt) {
  const std::int64_t environment = environment_id(attempt.environment);
  Transaction transaction(database_);
  insert_attempt(attempt, environment);
  set_state_after(attempt);
  transaction.commit();
}

void Store::forget_jobs(const std::vector<std::string>& jobs) {
  Transaction transaction(database_);
  for (const std::string& job : jobs) {
    for (const char* sql :
         {"DELETE FROM metrics WHERE job = ?", "DELETE FROM attempts WHERE job = ?",
          "DELETE FROM job_dependencies WHERE job = ?",
          "DELETE FROM job_dependencies WHERE needs = ?", "DELETE FROM jobs WHERE id = ?"}) {
      database_.prepare(sql).bind(1, job).run();
    }
  }
  transaction.commit();
}

std::vector<std::string> Store::integrity_problems() const {
  std::vector<std::string> problems;
  const std::string file = database_.path().string();
  Statement check = database_.prepare("PRAGMA integrity_check");
  while (check.step()) {
    if (check.text(0) != "ok") problems.push_back(fmt::format("{}: {}", file, check.text(0)));
  }
  Statement keys = database_.prepare("PRAGMA foreign_key_check");
  while (keys.step()) {
    problems.push_back(fmt::format("{}: row {} of {} names a row of {} that is not there", file,
                                   keys.integer(1), keys.text(0), keys.text(2)));
  }
  return problems;
}

}  // namespace assay
