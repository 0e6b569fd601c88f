#pragma once

#include "core/shared_json.h"
#include "results/metric_row.h"
#include "results/sqlite.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace assay {

/// A study as it was planned last.
struct StudyRecord {
  std::string name;
  std::string path;  ///< Of the study file.
  std::string text;  ///< Its content, with the command line's overrides below it.
};

/// A unit of work: all that the store needs to know of it before it runs.
struct JobRecord {
  std::string id;                         ///< SHA-256 of the canonical spec.
  std::string kind;                       ///< `encode`, `train`, `evaluate`, `profile`.
  std::string spec;                       ///< Canonical JSON.
  std::vector<std::string> dependencies;  ///< Ids of jobs that come first.
  std::string cost_class;  ///< Jobs of one class take time in proportion to their work.
  double work = 0;
};

/// An evaluate job as a study's author names it: one row of a table, one of its data sets. One job
/// may stand under several names.
struct StudyCell {
  std::string job = {};
  std::string method, preset;
  SharedJson params = {};  ///< Object: only what the study changed.
  std::optional<std::int64_t> seed =
      {};                          ///< Nothing: nothing is trained. Of an ensemble, the first.
  std::string train_dataset = {};  ///< Sets joined by `+`; may be empty.
  std::string dataset;
  std::int64_t eval_size = 0;  ///< Pixels.
  SharedJson protocol = {};    ///< Object: what must be equal before numbers are compared.
  std::int64_t overlap = 0;    ///< Training images that are also in the target.
  std::string level = {};      ///< `image`, `pixel`: only these metrics count. Empty: both.
  std::optional<std::int64_t> epoch = {};  ///< Of a curve: before the last. Nothing: the last.
  bool on_train = false;                   ///< The auxiliary set, for curves only.
  bool operator==(const StudyCell&) const = default;

  /// No table has it.
  [[nodiscard]] bool for_curves() const { return epoch.has_value() || on_train; }
};

/// What is known of an attempt when it starts.
struct AttemptStart {
  std::string job = {};
  std::int64_t gang = 0, ranks = 1;
  std::string host = {};
  std::int64_t pid = 0;             ///< Of rank 0.
  std::string cpu_capability = {};  ///< As LibTorch names it: `AVX2`.
  std::int64_t threads = 1;         ///< Per rank.
  SharedJson environment = {};      ///< Object: versions, build, CPU model, ...
};

/// How an attempt ended.
struct AttemptEnd {
  std::string outcome;  ///< `done`, `failed`, `crashed`, `timeout`, `cancelled`, `lost`.
  double seconds = 0;   ///< By a clock that only goes forward; 0: unknown.
  std::optional<std::int64_t> exit_code = {}, signal = {};
  std::string message = {};
};

/// What a job that is done leaves in the store.
struct JobResult {
  nlohmann::json result;           ///< The content of result.json.
  std::vector<MetricRow> metrics;  ///< Of an evaluate job, means included.

  /// Of the content of a result.json. Throws StoreError where a metric is damaged.
  [[nodiscard]] static JobResult of(const nlohmann::json& result);
};

struct Attempt {
  std::int64_t id = 0;  ///< The store's own key.
  std::string job;
  std::int64_t number = 0;  ///< From 1; the folder is `attempt-<number>`.
  std::int64_t gang = 0, ranks = 0;
  std::string host = {};
  std::int64_t pid = 0;
  std::string started_at, ended_at;  ///< UTC, ISO 8601; `ended_at` empty while it runs.
  std::optional<double> seconds;
  std::string outcome;
  std::optional<std::int64_t> exit_code = {}, signal = {};
  std::string message, log_path;
  std::string cpu_capability = {};
  std::int64_t threads = 0;
  SharedJson environment = {};  ///< Object.
};

/// How many jobs of a kind are in a state.
struct StateCount {
  std::string kind, state;
  std::int64_t jobs = 0;
};

struct JobStatus {
  std::string id, kind, state;  ///< `planned`, `running`, `done`, `failed`.
  std::string cost_class;
  double work = 0;
  std::int64_t num_attempts = 0;
};

/// A number of a study's cell.
struct MetricValue {
  std::int64_t position = 0;  ///< Of the cell in `Store::cells`.
  MetricRow row;
};

/// What a workspace remembers: studies, jobs, attempts, metrics (`schema.sql`).
///
/// Only the coordinator writes. Each function that changes something is one transaction, or part of
/// one between `gather` and `save`. Used by one thread at a time. Throws StoreError.
class Store {
 public:
  /// Opens the store at `path`, creating it where there is none. An older one is migrated after it
  /// was copied to `<path>.v<N>.bak`; a newer one, or a file that is no store, is refused. WAL on
  /// local file systems, a rollback journal elsewhere. Where its folder cannot be written the store
  /// is opened for reading alone.
  explicit Store(const std::filesystem::path& path);

  /// What is written from here on others see, and a killed process has left, at `save` or not at
  /// all: for what job folders say too, so that the next run finds it again.
  void gather();
  void save();

  /// Records what a study needs: its jobs (known ones keep their state and results) and its cells.
  /// A study of the same name forgets what it wanted before.
  void record_study(const StudyRecord& study,
                    const std::vector<JobRecord>& jobs,
                    const std::vector<StudyCell>& cells);

  /// Records jobs that no study asked for (`assay train`, ...).
  void record_jobs(const std::vector<JobRecord>& jobs);

  /// The attempt that would begin now, numbered after those before; nothing is written. Its log is
  /// `<job folder>/attempt-<number>/rank0.log`.
  [[nodiscard]] Attempt next_attempt(const AttemptStart& start,
                                     const std::filesystem::path& job_folder) const;
  /// The job is running: the attempt, which gets its key.
  void begin(Attempt& attempt);
  /// Both.
  Attempt begin_attempt(const AttemptStart& start, const std::filesystem::path& job_folder);

  /// The attempt is over, whether its begin was recorded or not; returns it with its end. With
  /// outcome `done` the job is done, and result and metrics land with it; with `failed` the job has
  /// failed; else it is planned again.
  Attempt finish_attempt(Attempt attempt, const AttemptEnd& end, const JobResult* result = nullptr);

  /// The job is done though no attempt of it is open: its result was found on disk. `done_at`:
  /// UTC; empty: now.
  void adopt_result(const std::string& job,
                    const JobResult& result,
                    const std::string& done_at = {});

  /// The same for many, in one transaction.
  void adopt_results(const std::vector<std::pair<std::string, JobResult>>& results);

  /// An attempt that ended before this store was made: its number and times are kept.
  void add_attempt(const Attempt& attempt);

  /// Jobs that no study needs, with all that is known of them.
  void forget_jobs(const std::vector<std::string>& jobs);

  /// What SQLite finds wrong with the file itself, and keys that lead nowhere.
  [[nodiscard]] std::vector<std::string> integrity_problems() const;

  /// A job that was done is planned again: its folder does not hold what the store says.
  void forget_result(const std::string& job);

  /// A failed job may be tried again.
  void reset_failed(const std::string& job);

  [[nodiscard]] std::unordered_set<std::string> done_jobs() const;
  [[nodiscard]] std::vector<std::string> failed_jobs() const;
  /// Of the study, or of all where `study` is empty; in the order in which they were recorded.
  [[nodiscard]] std::vector<JobStatus> jobs(std::string_view study = {}) const;
  /// As `jobs`, counted.
  [[nodiscard]] std::vector<StateCount> count_jobs(std::string_view study = {}) const;
  [[nodiscard]] std::vector<std::string> job_ids(std::string_view study) const;
  /// Ids and specs of all jobs of a kind, in the order in which they were recorded.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> specs(std::string_view kind) const;
  [[nodiscard]] JobRecord job(const std::string& id) const;
  /// The content of result.json of a job that is done, else nothing.
  [[nodiscard]] std::optional<nlohmann::json> result(const std::string& job) const;
  /// Specs and results (JSON) of a study's profile jobs that are done, in the order in which they
  /// were recorded.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> profiles(
      std::string_view study) const;
  /// The one job whose id starts with `prefix`. Throws ConfigError where none or several do.
  [[nodiscard]] std::string find_job(std::string_view prefix) const;
  [[nodiscard]] std::vector<StudyRecord> studies() const;
  /// Names of the studies that need the job.
  [[nodiscard]] std::vector<std::string> studies_of(const std::string& job) const;

  [[nodiscard]] std::vector<Attempt> attempts(const std::string& job) const;
  /// Attempts without an end: running, or lost with a coordinator that died.
  [[nodiscard]] std::vector<Attempt> open_attempts() const;

  /// Cells of a study in its order, whether measured or not.
  [[nodiscard]] std::vector<StudyCell> cells(std::string_view study) const;
  /// What was measured for a study, in its order: of one category (`mean`), or everything.
  [[nodiscard]] std::vector<MetricValue> metric_values(std::string_view study,
                                                       std::string_view category = {}) const;

  /// Seconds per unit of work of each cost class that has a finished attempt.
  [[nodiscard]] std::map<std::string, double> seconds_per_work() const;

 private:
  void put_jobs(const std::vector<JobRecord>& jobs);
  void put_result(const std::string& job, const JobResult& result, const std::string& done_at);
  [[nodiscard]] bool is_recorded(const StudyRecord& study, const std::string& plan_digest) const;
  std::int64_t environment_id(const SharedJson& facts);
  std::int64_t insert_attempt(const Attempt& attempt, std::int64_t environment);
  void set_end(const Attempt& attempt);
  void set_state_after(const Attempt& attempt);
  [[nodiscard]] std::vector<Attempt> select_attempts(std::string_view where,
                                                     std::string_view value = {}) const;

  // Reading compiles statements, which SQLite does on the connection.
  mutable Database database_;
  std::optional<Transaction> gathered_;
  // Recorded last: the next attempt mostly has the same.
  SharedJson environment_;
  std::optional<std::int64_t> environment_id_;
};

}  // namespace assay
