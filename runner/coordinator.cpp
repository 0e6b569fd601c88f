#include "runner/coordinator.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_set>

namespace assay {
namespace {

constexpr double kBeatSeconds = 1;  // Between two looks at the ranks' beats.
constexpr double kEndSeconds = 5;   // For a gang that was told to end.

std::int64_t attempt_of(const JobResult& result) { return result.result.value("attempt", 0); }

double fraction_of(const nlohmann::json& progress) {
  const double total = progress.is_object() ? progress.value("total", 0.0) : 0.0;
  return total > 0 ? progress.value("done", 0.0) / total : 0.0;
}

}  // namespace

Coordinator::Coordinator(std::vector<PlannedJob> jobs,
                         std::function<std::string(const std::string&)> label,
                         const CoordinatorOptions& options,
                         World& world)
    : jobs_(std::move(jobs)), label_(std::move(label)), options_(options), world_(world) {
  index_.reserve(jobs_.size());
  for (std::size_t i = 0; i < jobs_.size(); ++i) index_.emplace(jobs_[i].schedule.id, i);
}

RunReport Coordinator::run() {
  recover();
  const auto brief = [this](const std::string& id) { return is_brief(id); };
  while (true) {
    for (const Decision& decision : scheduler_->decide(world_.now(), brief)) act(decision);
    report_ended();
    if (scheduler_->finished()) return report_;
    world_.show(state());
    const double until = scheduler_->next_time().value_or(INFINITY) - world_.now();
    world_.wait(std::clamp(until, 0.0, kBeatSeconds));
    heed_people();
    if (world_.interrupts() > 1) return report_;
    for (int g = 0; g < scheduler_->max_gangs(); ++g) {
      if (gang(g).present) receive(g);
    }
    end_slow_gangs();
  }
}

/// What a coordinator that was killed has left: live processes, attempts without an end, results
/// that nobody recorded, records whose folder a power cut has taken.
void Coordinator::recover() {
  world_.end_strays();
  settle_open_attempts();
  const std::vector<bool> done = check_folders();
  report_.total = jobs_.size();
  report_.done_before = static_cast<std::size_t>(std::ranges::count(done, true));
  std::map<std::string, double> rates;
  if (report_.done_before < report_.total) rates = world_.seconds_per_work();
  estimate_ = TimeEstimate(rates);
  std::vector<ScheduledJob> waiting;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (done[i]) continue;
    const PlannedJob& job = jobs_[i];
    const auto rate = rates.find(job.cost_class);
    waiting.push_back(job.schedule);
    if (rate != rates.end()) waiting.back().expected_seconds = rate->second * job.work;
    expect(job.schedule.id, true);
  }
  scheduler_.emplace(std::move(waiting), options_.scheduler);
  gangs_.resize(static_cast<std::size_t>(scheduler_->max_gangs()));
  if (report_.done_before == report_.total) return;
  for (const std::string& id : world_.failed_jobs()) {
    if (scheduler_->knows(id)) world_.reset_failed(id);
  }
}

void Coordinator::settle_open_attempts() {
  for (const Attempt& attempt : world_.open_attempts()) {
    const auto result = result_of(attempt, ResultCheck::kDigests);
    const AttemptEnd end{.outcome = result ? "done" : "lost",
                         .message = result ? "" : "its coordinator died"};
    world_.finish_attempt(attempt, end, result ? &*result : nullptr);
  }
}

/// Which jobs are done. Where store and folders differ, the folders are right.
std::vector<bool> Coordinator::check_folders() {
  const std::unordered_set<std::string> in_store = world_.done_jobs();
  std::vector<bool> done(jobs_.size());
  std::vector<bool> needed(jobs_.size());  // By a job that will run.
  // Backwards: whether a job runs is known before what it needs is looked at.
  for (std::size_t i = jobs_.size(); i-- > 0;) {
    const std::string& id = jobs_[i].schedule.id;
    const bool recorded = in_store.contains(id);
    bool complete = recorded && world_.has_result(id);
    if (!recorded || needed[i]) {
      const auto check = recorded ? ResultCheck::kSizes : ResultCheck::kDigests;
      const auto result = world_.complete_result(id, check);
      complete = result.has_value();
      if (complete && !recorded) world_.adopt(id, *result);
    }
    if (recorded && !complete) {
      world_.say(fmt::format("{}: its results are no longer whole; it runs again", label_(id)),
                 true);
      world_.forget(id);
    }
    done[i] = complete;
    if (complete) continue;
    for (const std::string& need : jobs_[i].schedule.needs) {
      if (const auto known = index_.find(need); known != index_.end()) needed[known->second] = true;
    }
  }
  return done;
}

void Coordinator::act(const Decision& decision) {
  const int g = decision.gang;
  switch (decision.action) {
    case Action::kStartGang: start(g, decision.slots); break;
    case Action::kSendJob: send(g, decision.job); break;
    case Action::kCancelJob:
      if (scheduler_->cancelling(g)) gang(g).deadline = world_.now() + options_.grace_seconds;
      world_.tell(g, Order::kCancel, decision.job);
      break;
    case Action::kEndGang:
      gang(g).deadline = world_.now() + options_.grace_seconds;
      world_.tell(g, Order::kEnd, "");
      break;
  }
}

void Coordinator::start(int g, const std::vector<Slot>& slots) {
  gang(g) = {};
  gang(g).watch.restart(world_.now());
  try {
    world_.start_gang(g, slots);
    gang(g).present = true;
  } catch (const CommError& error) {
    world_.say(fmt::format("gang {} did not start ({})", g, error.what()), true);
    scheduler_->gang_ended(g, EndCause::kDied, error.what(), world_.now());
  }
}

void Coordinator::send(int g, const std::string& id) {
  RunningGang& running = gang(g);
  expect(id, false);
  running.ahead = world_.begin_attempt(g, id);
  begun_.insert(id);
  try {
    world_.run_job(g, *running.ahead);
    if (!running.attempt) go_on(g);
  } catch (const DataError& error) {  // A full disk fails this job; smaller ones may go on.
    world_.finish_attempt(*std::exchange(running.ahead, std::nullopt),
                          {.outcome = "failed", .message = error.what()}, nullptr);
    scheduler_->job_not_sent(g, id, error.what());
  }
}

/// With the job that the gang was sent ahead, if any.
void Coordinator::go_on(int g) {
  RunningGang& running = gang(g);
  running.attempt = std::exchange(running.ahead, std::nullopt);
  running.attempt_started = world_.now();
  running.deadline.reset();
  if (scheduler_->cancelling(g)) running.deadline = world_.now() + options_.grace_seconds;
  running.progress = nullptr;
  running.watch.restart(world_.now());
}

bool Coordinator::is_brief(const std::string& id) const {
  const PlannedJob& planned = job(id);
  const auto seconds = estimate_.seconds(planned.cost_class, planned.work);
  return seconds && *seconds < options_.brief_seconds;
}

void Coordinator::receive(int g) {
  try {
    const auto events = world_.receive(g);
    if (!events) {
      lose(g, {}, kEndSeconds);
      return;
    }
    for (const GangEvent& event : *events) handle(g, event);
  } catch (const CommError& error) {
    lose(g, {.text = error.what()}, 0);
  }
}

void Coordinator::handle(int g, const GangEvent& event) {
  RunningGang& running = gang(g);
  if (event.kind == GangEvent::Kind::kReady) {
    running.ready = true;
    scheduler_->gang_ready(g);
    return;
  }
  if (!running.attempt || event.job != running.attempt->job ||
      event.attempt != running.attempt->number) {
    throw CommError("gang {}: speaks of attempt {} of job {}, which it does not run", g,
                    event.attempt, event.job.substr(0, 8));
  }
  switch (event.kind) {
    case GangEvent::Kind::kDone: {
      const auto result = result_of(*running.attempt, ResultCheck::kSizes);
      if (!result) throw CommError("job {}: done without a whole result", event.job.substr(0, 8));
      record_done(g, *result);
      break;
    }
    case GangEvent::Kind::kInterrupted:
      finish(g, "cancelled", {.text = "stopped"});
      expect(event.job, true);
      scheduler_->job_interrupted(g);
      break;
    case GangEvent::Kind::kFailed:
      finish(g, event.out_of_memory ? "crashed" : "failed", {.text = event.error});
      if (event.out_of_memory) {
        expect(event.job, true);
        scheduler_->job_stumbled(g, EndCause::kOutOfMemory, event.error, world_.now());
      } else {
        scheduler_->job_failed(g, event.error);
      }
      break;
    case GangEvent::Kind::kProgress: running.progress = event.progress; break;
    case GangEvent::Kind::kReady: break;
  }
  if (!running.attempt) go_on(g);
}

/// The whole result that this very attempt has left, if any.
std::optional<JobResult> Coordinator::result_of(const Attempt& attempt, ResultCheck check) {
  auto result = world_.complete_result(attempt.job, check);
  if (result && attempt_of(*result) != attempt.number) result.reset();
  return result;
}

void Coordinator::record_done(int g, const JobResult& result) {
  RunningGang& running = gang(g);
  const PlannedJob& done = job(running.attempt->job);
  const double seconds = world_.now() - running.attempt_started;
  world_.finish_attempt(*running.attempt, {.outcome = "done", .seconds = seconds}, &result);
  running.attempt.reset();
  scheduler_->job_done(g);
  estimate_.measure(done.cost_class, done.work, seconds);
  ++report_.done;
  world_.say(fmt::format("[{}/{}] {} ({})", report_.done_before + report_.done, report_.total,
                         label_(done.schedule.id), duration_text(seconds)),
             false);
}

/// The attempt ended without a result.
void Coordinator::finish(int g, const std::string& outcome, const GangEnd& end) {
  RunningGang& running = gang(g);
  world_.finish_attempt(*running.attempt,
                        {.outcome = outcome,
                         .seconds = world_.now() - running.attempt_started,
                         .exit_code = end.exit_code,
                         .signal = end.signal,
                         .message = end.text},
                        nullptr);
  running.attempt.reset();
}

/// The job that the gang was sent ahead did not begin.
void Coordinator::give_back(int g, const GangEnd& end) {
  const bool dead = end.cause != EndCause::kUnreachable;
  const Attempt ahead = *std::exchange(gang(g).ahead, std::nullopt);
  expect(ahead.job, true);
  world_.finish_attempt(ahead,
                        {.outcome = dead ? "cancelled" : "crashed",
                         .message = dead ? "its gang ended before it began" : end.text},
                        nullptr);
}

/// The gang has ended, or must: what it ran is tried again when all its ranks are dead. `why`:
/// known already, where it has a text.
void Coordinator::lose(int g, const GangEnd& why, double grace_seconds) {
  RunningGang& running = gang(g);
  GangEnd end = world_.end_gang(g, grace_seconds);
  const bool dead = end.cause != EndCause::kUnreachable;
  if (!why.text.empty()) {
    end.text = dead ? why.text : fmt::format("{}; {}", why.text, end.text);
    if (dead) end.cause = why.cause;
  }
  if (!running.ready) world_.say(fmt::format("gang {} did not start ({})", g, end.text), true);
  while (running.attempt) {
    const std::string id = running.attempt->job;
    // Died between writing the result and telling: what is done is done.
    if (const auto result = result_of(*running.attempt, ResultCheck::kDigests)) {
      record_done(g, *result);
      go_on(g);
      continue;
    }
    const bool last = !dead || report_.interrupted || scheduler_->cancelling(g);
    expect(id, true);
    finish(g, end.cause == EndCause::kHung ? "timeout" : "crashed", end);
    world_.say(
        fmt::format(
            "{}: {}{}", label_(id),
            end.cause == EndCause::kHung ? end.text : fmt::format("its gang died ({})", end.text),
            last ? "" : "; trying again"),
        true);
  }
  if (running.ahead) give_back(g, end);
  running = {};
  scheduler_->gang_ended(g, end.cause, end.text, world_.now());
}

void Coordinator::heed_people() {
  if (world_.interrupts() > 0 && !report_.interrupted) {
    report_.interrupted = true;
    world_.say("stopping: running jobs keep their state; once more to end at once", true);
    scheduler_->stop();
    for (int g = 0; g < scheduler_->max_gangs(); ++g) {
      if (gang(g).present) world_.tell(g, Order::kStop, "");
    }
  }
  for (const CancelRequest& request : world_.cancel_requests()) {
    if (request.all) scheduler_->cancel_all();
    for (const std::string& id : request.jobs) {
      if (scheduler_->knows(id)) scheduler_->cancel(id);
    }
  }
}

void Coordinator::end_slow_gangs() {
  const double now = world_.now();
  const bool look = now - beats_read_ >= kBeatSeconds;
  if (look) beats_read_ = now;
  for (int g = 0; g < scheduler_->max_gangs(); ++g) {
    RunningGang& running = gang(g);
    if (!running.present) continue;
    if (!look) continue;
    if (!running.ready && running.watch.seconds_still({}, now) > options_.start_timeout_seconds) {
      lose(g, {.text = fmt::format("not ready after {:.0f} s", options_.start_timeout_seconds)}, 0);
    } else if (running.deadline && now > *running.deadline) {
      lose(g, {.text = "was told to stop and did not"}, 0);
    } else if (running.attempt) {
      const std::vector<RankBeat> beats = world_.beats(g);
      const double still = running.watch.seconds_still(beats, now);
      if (still < options_.hang_timeout_seconds) continue;
      const std::string text = fmt::format("hung for {:.0f} s: job {}, {}", still,
                                           running.attempt->job.substr(0, 8), describe_hang(beats));
      lose(g, {.cause = EndCause::kHung, .text = text}, 0);
    }
  }
}

void Coordinator::report_ended() {
  for (const std::string& id : scheduler_->take_ended()) {
    const bool failed = scheduler_->state(id) == JobState::kFailed;
    expect(id, false);
    const EndedJob ended{id, label_(id), scheduler_->error(id), begun_.contains(id)};
    (failed ? report_.failed : report_.cancelled).push_back(ended);
    world_.say(failed ? fmt::format("failed: {}: {}", ended.label, ended.error)
                      : fmt::format("cancelled: {}", ended.label),
               true);
  }
}

/// Whether the job is among those that the time estimate counts as waiting.
void Coordinator::expect(const std::string& id, bool waits) {
  const PlannedJob& planned = job(id);
  if (waits && expected_.insert(id).second) estimate_.add(planned.cost_class, planned.work);
  if (!waits && expected_.erase(id) > 0) estimate_.remove(planned.cost_class, planned.work);
}

RunState Coordinator::state() {
  RunState state{.total = report_.total,
                 .done = report_.done_before + report_.done,
                 .failed = report_.failed.size(),
                 .stopping = report_.interrupted,
                 .remaining_seconds = {},
                 .running = {},
                 .progress = {}};
  std::vector<RunningJob> running;
  std::size_t gangs = 0;
  for (int g = 0; g < scheduler_->max_gangs(); ++g) {
    const RunningGang& present = gang(g);
    gangs += present.present ? 1 : 0;
    if (!present.attempt) continue;
    const PlannedJob& planned = job(present.attempt->job);
    state.running[g] = label_(planned.schedule.id);
    state.progress[g] = present.progress;
    running.push_back({.cost_class = planned.cost_class,
                       .work = planned.work,
                       .seconds = world_.now() - present.attempt_started,
                       .fraction = fraction_of(present.progress)});
  }
  state.remaining_seconds = estimate_.seconds_left(running, gangs);
  return state;
}

}  // namespace assay
