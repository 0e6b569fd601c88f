#include "runner/scheduler.h"

#include "core/error.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <stdexcept>

namespace assay {

Scheduler::Scheduler(std::vector<ScheduledJob> jobs, const SchedulerOptions& options)
    : options_(options), gangs_(static_cast<std::size_t>(std::max(options.gangs, 1))) {
  std::map<std::vector<std::string>, std::size_t> group_of;
  for (ScheduledJob& spec : jobs) {
    const auto group = group_of.try_emplace(spec.inputs, groups_.size()).first->second;
    if (group == groups_.size()) groups_.push_back(spec.inputs);
    if (!index_.try_emplace(spec.id, jobs_.size()).second) {
      throw std::invalid_argument(fmt::format("job {} is in the plan twice", spec.id));
    }
    jobs_.push_back({.spec = std::move(spec), .group = group, .dependents = {}, .error = {}});
  }
  ready_.resize(groups_.size());
  counts_[JobState::kWaiting] = jobs_.size();
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    for (const std::string& needed : jobs_[i].spec.needs) {
      const auto found = index_.find(needed);
      if (found == index_.end()) continue;
      jobs_[found->second].dependents.push_back(i);
      ++jobs_[i].missing;
    }
  }
  // Kahn's algorithm: what it does not reach is in a circle.
  std::vector<std::size_t> missing, reached;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    missing.push_back(jobs_[i].missing);
    if (missing[i] == 0) reached.push_back(i);
  }
  for (std::size_t next = 0; next < reached.size(); ++next) {
    for (const std::size_t dependent : jobs_[reached[next]].dependents) {
      if (--missing[dependent] == 0) reached.push_back(dependent);
    }
  }
  if (reached.size() != jobs_.size())
    throw std::invalid_argument("jobs need each other in a circle");
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (jobs_[i].missing == 0) make_ready(i);
  }
}

std::vector<Decision> Scheduler::decide(double now) {
  std::vector<Decision> decisions;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    make_ready(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
  }
  std::size_t starting = 0;
  for (std::size_t g = 0; g < gangs_.size(); ++g) {
    Gang& gang = gangs_[g];
    if (gang.state == GangState::kStarting) ++starting;
    if (gang.state != GangState::kIdle) continue;
    const bool over = stopped_ || (counts_[JobState::kWaiting] == 0);
    if (const auto job = stopped_ ? std::nullopt : pick(gang)) {
      gang.state = GangState::kRunning;
      gang.job = job;
      gang.held = jobs_[*job].spec.inputs;
      set_state(jobs_[*job], JobState::kRunning);
      decisions.push_back({Action::kSendJob, static_cast<int>(g), jobs_[*job].spec.id});
    } else if (over && counts_[JobState::kRunning] == 0) {
      gang.state = GangState::kEnding;
      decisions.push_back({Action::kEndGang, static_cast<int>(g), {}});
    }
  }
  for (std::size_t g = 0; g < gangs_.size() && !stopped_; ++g) {
    Gang& gang = gangs_[g];
    if (gang.state != GangState::kAbsent || gang.not_before > now || num_ready_ <= starting)
      continue;
    gang.state = GangState::kStarting;
    ++starting;
    decisions.push_back({Action::kStartGang, static_cast<int>(g), {}});
  }
  return decisions;
}

std::optional<double> Scheduler::next_time() const {
  if (stopped_) return std::nullopt;
  std::optional<double> time;
  if (!delayed_.empty()) time = delayed_.begin()->first;
  if (num_ready_ > 0) {
    for (const Gang& gang : gangs_) {
      if (gang.state == GangState::kAbsent)
        time = std::min(time.value_or(INFINITY), gang.not_before);
    }
  }
  return time;
}

void Scheduler::gang_ready(int gang) {
  Gang& present = gangs_.at(static_cast<std::size_t>(gang));
  assert(present.state == GangState::kStarting);
  present.state = GangState::kIdle;
  present.start_failures = 0;
}

void Scheduler::job_done(int gang) {
  Job& job = jobs_[take_running(gang)];
  set_state(job, JobState::kDone);
  for (const std::size_t dependent : job.dependents) {
    if (--jobs_[dependent].missing == 0 && jobs_[dependent].state == JobState::kWaiting) {
      make_ready(dependent);
    }
  }
}

void Scheduler::job_failed(int gang, const std::string& error) { fail(take_running(gang), error); }

void Scheduler::job_interrupted(int gang) {
  const std::size_t index = take_running(gang);
  set_state(jobs_[index], JobState::kWaiting);
  make_ready(index);
}

void Scheduler::gang_ended(int gang, const std::string& why, double now) {
  Gang& dead = gangs_.at(static_cast<std::size_t>(gang));
  const GangState before = dead.state;
  const auto job = dead.job;
  dead.state = GangState::kAbsent;
  dead.job.reset();
  dead.held.clear();
  if (before == GangState::kStarting) {
    dead.not_before = now + delay(++dead.start_failures);
    if (dead.start_failures >= options_.start_attempts) dead.state = GangState::kBroken;
  }
  if (job) retry_or_fail(*job, why, now);
  if (std::ranges::all_of(gangs_, [](const Gang& g) { return g.state == GangState::kBroken; })) {
    fail_all_waiting(fmt::format("no gang could start: {}", why));
  }
}

void Scheduler::stop() { stopped_ = true; }

bool Scheduler::finished() const {
  const bool over = stopped_ || count(JobState::kWaiting) == 0;
  return over && count(JobState::kRunning) == 0 && std::ranges::all_of(gangs_, [](const Gang& g) {
           return g.state == GangState::kAbsent || g.state == GangState::kBroken;
         });
}

JobState Scheduler::state(const std::string& job) const { return jobs_[index_.at(job)].state; }

const std::string& Scheduler::error(const std::string& job) const {
  return jobs_[index_.at(job)].error;
}

std::size_t Scheduler::count(JobState state) const {
  const auto found = counts_.find(state);
  return found == counts_.end() ? 0 : found->second;
}

std::optional<std::string> Scheduler::running(int gang) const {
  const auto& job = gangs_.at(static_cast<std::size_t>(gang)).job;
  return job ? std::optional(jobs_[*job].spec.id) : std::nullopt;
}

std::vector<std::string> Scheduler::take_failed() { return std::exchange(newly_failed_, {}); }

void Scheduler::set_state(Job& job, JobState state) {
  --counts_[job.state];
  ++counts_[state];
  job.state = state;
}

void Scheduler::make_ready(std::size_t index) {
  if (ready_[jobs_[index].group].insert(index).second) ++num_ready_;
}

void Scheduler::fail(std::size_t index, const std::string& error) {
  Job& job = jobs_[index];
  if (job.state == JobState::kFailed || job.state == JobState::kDone) return;
  if (ready_[job.group].erase(index) > 0) --num_ready_;
  set_state(job, JobState::kFailed);
  job.error = error;
  newly_failed_.push_back(job.spec.id);
  for (const std::size_t dependent : job.dependents) {
    fail(dependent, fmt::format("needs job {}, which failed", job.spec.id.substr(0, 8)));
  }
}

void Scheduler::retry_or_fail(std::size_t index, const std::string& why, double now) {
  Job& job = jobs_[index];
  if (++job.deaths > options_.retries) {
    fail(index, fmt::format("its gang died {} times, last: {}", job.deaths, why));
    return;
  }
  set_state(job, JobState::kWaiting);
  delayed_.emplace(now + delay(job.deaths), index);
}

void Scheduler::fail_all_waiting(const std::string& why) {
  delayed_.clear();
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (jobs_[i].state == JobState::kWaiting) fail(i, why);
  }
}

std::optional<std::size_t> Scheduler::pick(const Gang& gang) {
  std::optional<std::size_t> best;
  std::ptrdiff_t best_held = -1;
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    if (ready_[group].empty()) continue;
    const std::size_t first = *ready_[group].begin();
    const std::ptrdiff_t held = std::ranges::count_if(groups_[group], [&](const auto& input) {
      return std::ranges::find(gang.held, input) != gang.held.end();
    });
    if (held > best_held || (held == best_held && first < *best)) {
      best = first;
      best_held = held;
    }
  }
  if (best) {
    ready_[jobs_[*best].group].erase(*best);
    --num_ready_;
  }
  return best;
}

std::size_t Scheduler::take_running(int gang) {
  Gang& present = gangs_.at(static_cast<std::size_t>(gang));
  assert(present.state == GangState::kRunning && present.job.has_value());
  present.state = GangState::kIdle;
  const std::size_t index = *present.job;
  present.job.reset();
  return index;
}

double Scheduler::delay(int failures) const {
  return std::min(options_.first_delay_seconds * std::pow(2.0, failures - 1),
                  options_.max_delay_seconds);
}

}  // namespace assay
