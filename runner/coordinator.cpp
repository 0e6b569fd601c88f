#include "runner/coordinator.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/attempt_file.h"
#include "runner/gang.h"
#include "runner/process.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

namespace assay {
namespace {

using nlohmann::json;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

JobResult job_result(const json& result) {
  JobResult recorded{.result = result, .metrics = {}};
  for (const json& row : result.value("metrics", json::array())) {
    recorded.metrics.push_back(metric_row_from_json(row));
  }
  return recorded;
}

/// Facts of a gang's rank 0, from its event `ready`.
AttemptStart attempt_start(const json& ready, const std::string& job, int gang) {
  return {.job = job,
          .gang = gang,
          .ranks = ready.value("ranks", 1),
          .host = ready.value("host", ""),
          .pid = ready.value("pid", 0),
          .cpu_capability = ready.value("cpu_capability", ""),
          .threads = ready.value("threads", 1),
          .environment = ready.value("environment", json::object())};
}

class Coordinator {
 public:
  Coordinator(const Plan& plan,
              const CoordinatorOptions& options,
              const std::function<JobRun(const Job&)>& describe,
              Store& store,
              ProgressView& view)
      : plan_(plan),
        options_(options),
        describe_(describe),
        store_(store),
        view_(view),
        done_before_(adopt_results(plan.jobs, options.workspace, store)),
        labels_(job_labels(plan)),
        scheduler_(waiting_jobs(), options.scheduler),
        gangs_(static_cast<std::size_t>(options.scheduler.gangs)),
        rates_(store.seconds_per_work()) {}

  RunReport run(Interrupts& interrupts, const std::function<void(const RunState&)>& on_state);

 private:
  struct RunningGang {
    std::unique_ptr<Gang> gang;
    json ready;  // Its first event; null while it starts.
    double started = 0;
    std::optional<std::int64_t> attempt;
    double attempt_started = 0;
    json progress;
  };

  std::vector<ScheduledJob> waiting_jobs() const;
  void act(const Decision& decision);
  void send(int gang, const std::string& job);
  void receive(int gang);
  void handle(int gang, const json& event);
  bool finish_done(int gang, const std::string& job);
  void finish(int gang, const AttemptEnd& end, const JobResult* result = nullptr);
  void lose(int gang, const std::string& why, double grace_seconds);
  void end_slow_starters();
  void report_failures();
  void stop_running_jobs();
  void wait(Interrupts& interrupts);
  RunState state() const;
  std::optional<double> remaining_seconds() const;
  double seconds_left(const Job& job,
                      double fraction_done,
                      double seconds_so_far,
                      bool& known) const;

  const Plan& plan_;
  const CoordinatorOptions& options_;
  const std::function<JobRun(const Job&)>& describe_;
  Store& store_;
  ProgressView& view_;
  std::set<std::string> done_before_;
  std::map<std::string, std::string> labels_;
  Scheduler scheduler_;
  std::vector<RunningGang> gangs_;
  std::map<std::string, double> rates_;  // Seconds per unit of work, by cost class.
  RunReport report_;
};

std::vector<ScheduledJob> Coordinator::waiting_jobs() const {
  std::vector<ScheduledJob> jobs;
  for (const Job& job : plan_.jobs) {
    if (!done_before_.contains(job.id))
      jobs.push_back({job.id, job.dependencies, inputs_of(job.spec())});
  }
  return jobs;
}

RunReport Coordinator::run(Interrupts& interrupts,
                           const std::function<void(const RunState&)>& on_state) {
  report_.total = plan_.jobs.size();
  report_.done_before = done_before_.size();
  for (const JobStatus& job : store_.jobs()) {
    if (job.state == "failed" && labels_.contains(job.id)) store_.reset_failed(job.id);
  }
  while (true) {
    for (const Decision& decision : scheduler_.decide(now())) act(decision);
    report_failures();
    if (scheduler_.finished()) return report_;
    const RunState present = state();
    view_.update(present);
    on_state(present);
    wait(interrupts);
    const int signals = interrupts.count();
    if (signals > 1) return report_;  // Every gang is killed with this object.
    if (signals == 1 && !report_.interrupted) {
      report_.interrupted = true;
      view_.line("stopping: running jobs keep their state; once more to end at once", true);
      scheduler_.stop();
      stop_running_jobs();
    }
    for (std::size_t g = 0; g < gangs_.size(); ++g) {
      if (gangs_[g].gang) receive(static_cast<int>(g));
    }
    end_slow_starters();
  }
}

void Coordinator::act(const Decision& decision) {
  const int g = decision.gang;
  RunningGang& gang = gangs_[static_cast<std::size_t>(g)];
  switch (decision.action) {
    case Action::kStartGang: {
      const auto folder = options_.workspace.gangs() / std::to_string(g);
      end_recorded_ranks(folder);
      gang = {};
      gang.started = now();
      gang.gang = std::make_unique<Gang>(
          GangOptions{options_.ranks,
                      options_.worker,
                      {"--folder", folder.string(), "--ranks", std::to_string(options_.ranks)},
                      folder});
      break;
    }
    case Action::kSendJob: send(g, decision.job); break;
    case Action::kEndGang: try { gang.gang->send({{"do", "end"}});
      } catch (const CommError&) {
        // It is gone already, which `receive` will notice.
      }
      gang.gang->close_input();
      break;
  }
}

void Coordinator::send(int g, const std::string& job) {
  RunningGang& gang = gangs_[static_cast<std::size_t>(g)];
  const JobRun run = describe_(plan_.job(job));
  const Attempt attempt = store_.begin_attempt(attempt_start(gang.ready, job, g), run.folder());
  std::string sha256;
  const std::filesystem::path file = write_run(run, attempt.number, sha256);
  gang.attempt = attempt.id;
  gang.attempt_started = now();
  gang.progress = nullptr;
  try {
    gang.gang->send({{"do", "run"}, {"job", job}, {"file", file.string()}, {"sha256", sha256}});
  } catch (const CommError&) {
    // It is gone already, which `receive` will notice.
  }
}

void Coordinator::receive(int g) {
  RunningGang& gang = gangs_[static_cast<std::size_t>(g)];
  try {
    const auto events = gang.gang->receive();
    if (!events) {
      lose(g, "", 5);
      return;
    }
    for (const json& event : *events) handle(g, event);
  } catch (const CommError& error) {
    lose(g, error.what(), 0);
  }
}

void Coordinator::handle(int g, const json& event) {
  RunningGang& gang = gangs_[static_cast<std::size_t>(g)];
  const std::string name = event.value("event", "");
  if (name == "ready") {
    gang.ready = event;
    scheduler_.gang_ready(g);
    return;
  }
  const std::string job = scheduler_.running(g).value_or("");
  if (event.value("job", "") != job || job.empty()) {
    throw CommError("gang {}: event '{}' of a job that it does not run", g, name);
  }
  const double seconds = now() - gang.attempt_started;
  if (name == "progress") {
    gang.progress = event;
  } else if (name == "done") {
    if (!finish_done(g, job)) throw CommError("job {}: done without a result.json", job);
  } else if (name == "interrupted") {
    finish(g, {.outcome = "cancelled",
               .seconds = seconds,
               .exit_code = {},
               .signal = {},
               .message = "stopped"});
    scheduler_.job_interrupted(g);
  } else if (name == "failed") {
    const std::string error = event.value("error", "");
    finish(
        g,
        {.outcome = "failed", .seconds = seconds, .exit_code = {}, .signal = {}, .message = error});
    scheduler_.job_failed(g, error);
  }
}

bool Coordinator::finish_done(int g, const std::string& job) {
  const auto result = read_result(options_.workspace, job);
  if (!result) return false;
  const JobResult recorded = job_result(*result);
  const double seconds = now() - gangs_[static_cast<std::size_t>(g)].attempt_started;
  finish(g, {.outcome = "done", .seconds = seconds, .exit_code = {}, .signal = {}, .message = {}},
         &recorded);
  scheduler_.job_done(g);
  ++report_.done;
  rates_ = store_.seconds_per_work();
  view_.line(fmt::format("[{}/{}] {} ({})", report_.done_before + report_.done, report_.total,
                         labels_.at(job), duration_text(seconds)));
  return true;
}

void Coordinator::finish(int g, const AttemptEnd& end, const JobResult* result) {
  RunningGang& gang = gangs_[static_cast<std::size_t>(g)];
  store_.finish_attempt(*gang.attempt, end, result);
  write_last_attempt(store_, scheduler_.running(g).value());
  gang.attempt.reset();
}

/// The gang has ended, or must: whatever it ran is tried again when all its ranks are dead.
void Coordinator::lose(int g, const std::string& why, double grace_seconds) {
  RunningGang& gang = gangs_[static_cast<std::size_t>(g)];
  const std::string how = gang.gang->end(grace_seconds);
  const std::string reason = why.empty() ? how : why;
  const auto job = scheduler_.running(g);
  // Died between writing the result and telling: what is done is done.
  if (job && gang.attempt && !finish_done(g, *job)) {
    finish(g, {.outcome = "crashed",
               .seconds = now() - gang.attempt_started,
               .exit_code = {},
               .signal = {},
               .message = reason});
    view_.line(fmt::format("{}: its gang died ({}){}", labels_.at(*job), reason,
                           report_.interrupted ? "" : "; trying again"),
               true);
  } else if (gang.ready.is_null()) {
    view_.line(fmt::format("gang {} did not start ({}); see {}", g, reason,
                           gang.gang->options().folder.string()),
               true);
  }
  gang.gang.reset();
  scheduler_.gang_ended(g, reason, now());
}

void Coordinator::end_slow_starters() {
  for (std::size_t g = 0; g < gangs_.size(); ++g) {
    RunningGang& gang = gangs_[g];
    if (!gang.gang || !gang.ready.is_null()) continue;
    if (now() - gang.started > options_.start_timeout_seconds) {
      lose(static_cast<int>(g),
           fmt::format("not ready after {:.0f} s", options_.start_timeout_seconds), 0);
    }
  }
}

void Coordinator::report_failures() {
  for (const std::string& job : scheduler_.take_failed()) {
    report_.failed.push_back({job, labels_.at(job), scheduler_.error(job)});
    view_.line(fmt::format("failed: {}: {}", labels_.at(job), scheduler_.error(job)), true);
  }
}

void Coordinator::stop_running_jobs() {
  for (RunningGang& gang : gangs_) {
    if (!gang.gang) continue;
    try {
      gang.gang->send({{"do", "stop"}});
    } catch (const CommError&) {
      // It is gone already, which `receive` will notice.
    }
  }
}

void Coordinator::wait(Interrupts& interrupts) {
  std::vector<pollfd> descriptors = {{interrupts.descriptor(), POLLIN, 0}};
  for (const RunningGang& gang : gangs_) {
    if (gang.gang) descriptors.push_back({gang.gang->descriptor(), POLLIN, 0});
  }
  const double until = scheduler_.next_time().value_or(INFINITY) - now();
  const int milliseconds = static_cast<int>(std::ceil(1000 * std::clamp(until, 0.0, 1.0)));
  ::poll(descriptors.data(), descriptors.size(), milliseconds);
}

RunState Coordinator::state() const {
  RunState state{.total = report_.total,
                 .done = report_.done_before + report_.done,
                 .failed = report_.failed.size(),
                 .remaining_seconds = remaining_seconds(),
                 .running = {},
                 .progress = {}};
  for (std::size_t g = 0; g < gangs_.size(); ++g) {
    const auto job = scheduler_.running(static_cast<int>(g));
    if (!job) continue;
    state.running[static_cast<int>(g)] = labels_.at(*job);
    state.progress[static_cast<int>(g)] = gangs_[g].progress;
  }
  return state;
}

/// From the measured cost of each class; a running job of a class that was never measured is
/// extrapolated from how far it is. A class of which nothing is known yet takes the mean cost of a
/// job so far: an estimate that is there early and gets better.
std::optional<double> Coordinator::remaining_seconds() const {
  std::map<std::string, double> rates = rates_;
  double left_of_running = 0;
  std::set<std::string> running;
  for (std::size_t g = 0; g < gangs_.size(); ++g) {
    const auto id = scheduler_.running(static_cast<int>(g));
    if (!id) continue;
    running.insert(*id);
    const Job& job = plan_.job(*id);
    const double seconds = now() - gangs_[g].attempt_started;
    const auto& progress = gangs_[g].progress;
    const double total = progress.is_object() ? progress.value("total", 0.0) : 0.0;
    const double fraction = total > 0 ? progress.value("done", 0.0) / total : 0.0;
    if (fraction > 0.02 && job.work > 0) {
      rates.try_emplace(job.cost_class, seconds / fraction / job.work);
      left_of_running += seconds / fraction * (1 - fraction);
    } else if (const auto rate = rates.find(job.cost_class); rate != rates.end()) {
      left_of_running += std::max(0.0, rate->second * job.work - seconds);
    }
  }
  if (rates.empty()) return std::nullopt;
  double known = 0, known_jobs = 0, unknown_jobs = 0;
  for (const Job& job : plan_.jobs) {
    if (done_before_.contains(job.id) || running.contains(job.id)) continue;
    if (scheduler_.state(job.id) != JobState::kWaiting) continue;
    const auto rate = rates.find(job.cost_class);
    if (rate == rates.end()) {
      ++unknown_jobs;
    } else {
      known += rate->second * job.work;
      ++known_jobs;
    }
  }
  const double per_unknown = known_jobs > 0 ? known / known_jobs : left_of_running;
  return (known + unknown_jobs * per_unknown) / static_cast<double>(gangs_.size()) +
         left_of_running;
}

}  // namespace

std::set<std::string> adopt_results(const std::vector<Job>& jobs,
                                    const Workspace& workspace,
                                    Store& store) {
  const std::set<std::string> recorded = store.done_jobs();
  std::set<std::string> done;
  for (const Job& job : jobs) {
    if (!recorded.contains(job.id)) {
      const auto result = read_result(workspace, job.id);
      if (!result) continue;
      store.adopt_result(job.id, job_result(*result));
    }
    done.insert(job.id);
  }
  return done;
}

void end_remains(const Workspace& workspace, Store& store) {
  std::error_code missing;
  for (const auto& gang : std::filesystem::directory_iterator(workspace.gangs(), missing)) {
    end_recorded_ranks(gang.path());
  }
  for (const Attempt& attempt : store.open_attempts()) {
    end_recorded_ranks(std::filesystem::path(attempt.log_path).parent_path());
    store.finish_attempt(attempt.id, {.outcome = "lost",
                                      .seconds = 0,
                                      .exit_code = {},
                                      .signal = {},
                                      .message = "its coordinator died"});
    write_last_attempt(store, attempt.job);
  }
}

RunReport run_plan(const Plan& plan,
                   const CoordinatorOptions& options,
                   const std::function<JobRun(const Job&)>& describe,
                   Store& store,
                   Interrupts& interrupts,
                   ProgressView& view,
                   const std::function<void(const RunState&)>& on_state) {
  return Coordinator(plan, options, describe, store, view).run(interrupts, on_state);
}

}  // namespace assay
