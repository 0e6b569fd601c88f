// What a store is asked: nothing here writes (store.cpp does).

#include "core/error.h"
#include "results/store.h"

#include <fmt/format.h>

#include <unordered_map>

namespace assay {
namespace {

using nlohmann::json;

/// Equal texts are one value.
class JsonTexts {
 public:
  SharedJson get(std::string text) {
    const auto known = values_.find(text);
    if (known != values_.end()) return known->second;
    SharedJson value(json::parse(text));
    return values_.emplace(std::move(text), std::move(value)).first->second;
  }

 private:
  std::unordered_map<std::string, SharedJson> values_;
};

StudyCell read_cell(const Statement& row, JsonTexts& texts) {
  return {.job = row.text(0),
          .method = row.text(1),
          .preset = row.text(2),
          .params = texts.get(row.text(3)),
          .seed = row.optional_integer(4),
          .train_dataset = row.text(5),
          .dataset = row.text(6),
          .eval_size = row.integer(7),
          .protocol = texts.get(row.text(8)),
          .overlap = row.integer(9),
          .level = row.text(10),
          .epoch = row.optional_integer(11),
          .on_train = row.integer(12) != 0};
}

constexpr std::string_view kCellColumns =
    "c.job, c.method, c.preset, c.params, c.seed, c.train_dataset, c.dataset, c.eval_size, "
    "c.protocol, c.overlap, c.level, c.epoch, c.on_train";

std::vector<std::string> all_texts(Statement& select) {
  std::vector<std::string> texts;
  while (select.step()) texts.push_back(select.text(0));
  return texts;
}

std::vector<std::pair<std::string, std::string>> all_pairs(Statement& select) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (select.step()) pairs.emplace_back(select.text(0), select.text(1));
  return pairs;
}

}  // namespace

JobResult JobResult::of(const json& result) {
  JobResult recorded{.result = result, .metrics = {}};
  for (const json& row : result.value("metrics", json::array())) {
    recorded.metrics.push_back(metric_row_from_json(row));
  }
  return recorded;
}

std::unordered_set<std::string> Store::done_jobs() const {
  std::unordered_set<std::string> ids;
  Statement select = database_.prepare("SELECT id FROM jobs WHERE state = 'done'");
  while (select.step()) ids.insert(select.text(0));
  return ids;
}

std::vector<std::string> Store::failed_jobs() const {
  Statement select = database_.prepare("SELECT id FROM jobs WHERE state = 'failed'");
  return all_texts(select);
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

std::vector<StateCount> Store::count_jobs(std::string_view study) const {
  Statement select = database_.prepare(
      study.empty() ? "SELECT kind, state, count(*) FROM jobs GROUP BY kind, state"
                    : "SELECT kind, state, count(*) FROM studies CROSS JOIN study_jobs ON study = "
                      "studies.id CROSS JOIN jobs ON jobs.id = job WHERE name = ? "
                      "GROUP BY kind, state");
  if (!study.empty()) select.bind(1, study);
  std::vector<StateCount> counts;
  while (select.step()) counts.push_back({select.text(0), select.text(1), select.integer(2)});
  return counts;
}

std::vector<std::string> Store::job_ids(std::string_view study) const {
  Statement select = database_.prepare(
      "SELECT job FROM studies JOIN study_jobs ON studies.id = study WHERE name = ?");
  select.bind(1, study);
  return all_texts(select);
}

std::vector<std::pair<std::string, std::string>> Store::specs(std::string_view kind) const {
  Statement select = database_.prepare("SELECT id, spec FROM jobs WHERE kind = ? ORDER BY rowid");
  select.bind(1, kind);
  return all_pairs(select);
}

JobRecord Store::job(const std::string& id) const {
  Statement select =
      database_.prepare("SELECT kind, spec, cost_class, work FROM jobs WHERE id = ?");
  select.bind(1, id);
  if (!select.step()) throw StoreError("{}: job {} is not there", database_.path().string(), id);
  JobRecord record{.id = id,
                   .kind = select.text(0),
                   .spec = select.text(1),
                   .dependencies = {},
                   .cost_class = select.text(2),
                   .work = select.real(3)};
  Statement needs =
      database_.prepare("SELECT needs FROM job_dependencies WHERE job = ? ORDER BY needs");
  needs.bind(1, id);
  record.dependencies = all_texts(needs);
  return record;
}

std::optional<json> Store::result(const std::string& job) const {
  Statement select = database_.prepare("SELECT result FROM jobs WHERE id = ? AND state = 'done'");
  select.bind(1, job);
  if (!select.step()) return std::nullopt;
  return json::parse(select.text(0));
}

std::vector<std::pair<std::string, std::string>> Store::profiles(std::string_view study) const {
  Statement select = database_.prepare(
      "SELECT spec, result FROM jobs WHERE kind = 'profile' AND state = 'done' AND id IN (SELECT "
      "job "
      "FROM study_jobs JOIN studies ON studies.id = study WHERE name = ?) ORDER BY rowid");
  select.bind(1, study);
  return all_pairs(select);
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
  return all_texts(select);
}

std::vector<Attempt> Store::select_attempts(std::string_view where, std::string_view value) const {
  Statement select = database_.prepare(
      "SELECT a.id, a.job, a.number, a.gang, a.ranks, a.host, a.pid, a.started_at, a.ended_at, "
      "a.seconds, a.outcome, a.exit_code, a.signal, a.message, a.log_path, a.cpu_capability, "
      "a.threads, e.facts FROM attempts AS a JOIN environment AS e ON e.id = a.environment WHERE " +
      std::string(where) + " ORDER BY a.id");
  if (!value.empty()) select.bind(1, value);
  JsonTexts texts;
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
                     .log_path = select.text(14),
                     .cpu_capability = select.text(15),
                     .threads = select.integer(16),
                     .environment = texts.get(select.text(17))});
  }
  return found;
}

std::vector<Attempt> Store::attempts(const std::string& job) const {
  return select_attempts("a.job = ?", job);
}

std::vector<Attempt> Store::open_attempts() const {
  return select_attempts("a.outcome = 'running'");  // As the partial index says it.
}

std::vector<StudyCell> Store::cells(std::string_view study) const {
  Statement select = database_.prepare(
      fmt::format("SELECT {} FROM study_cells AS c JOIN studies ON studies.id = c.study "
                  "WHERE studies.name = ? ORDER BY c.position",
                  kCellColumns));
  select.bind(1, study);
  std::vector<StudyCell> found;
  JsonTexts texts;
  while (select.step()) found.push_back(read_cell(select, texts));
  return found;
}

std::vector<MetricValue> Store::metric_values(std::string_view study,
                                              std::string_view category) const {
  // A cell's numbers are of its data set: with the category they are found by the primary key.
  Statement select = database_.prepare(fmt::format(
      "SELECT c.position, m.dataset, m.category, m.level, m.metric, m.value, "
      "m.undefined_because, m.num_normal, m.num_anomalous, m.num_regions, m.num_categories "
      "FROM studies CROSS JOIN study_cells AS c ON studies.id = c.study "
      "CROSS JOIN metrics AS m ON m.job = c.job AND m.dataset = c.dataset {} "
      "WHERE studies.name = ?1 AND c.level IN ('', m.level) "
      "ORDER BY c.position, m.category, m.level, m.metric",
      category.empty() ? "" : "AND m.category = ?2"));
  select.bind(1, study);
  if (!category.empty()) select.bind(2, category);
  std::vector<MetricValue> found;
  while (select.step()) {
    found.push_back({.position = select.integer(0),
                     .row = {.dataset = select.text(1),
                             .category = select.text(2),
                             .level = select.text(3),
                             .metric = select.text(4),
                             .value = select.optional_real(5),
                             .undefined_because = select.text(6),
                             .num_normal = select.optional_integer(7),
                             .num_anomalous = select.optional_integer(8),
                             .num_regions = select.optional_integer(9),
                             .num_categories = select.optional_integer(10)}});
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
