#include "runner/scheduler.h"

#include "core/error.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <stdexcept>

namespace assay {

Scheduler::Scheduler(std::vector<ScheduledJob> jobs, const SchedulerOptions& options)
    : options_(options), slots_(options.slots), gangs_(options.slots.size()) {
  std::map<std::pair<int, std::vector<std::string>>, std::size_t> group_of;
  for (ScheduledJob& spec : jobs) {
    if (spec.ranks <= 0) spec.ranks = options.ranks;
    const auto group =
        group_of.try_emplace({spec.ranks, spec.inputs}, groups_.size()).first->second;
    if (group == groups_.size()) {
      groups_.push_back({.inputs = spec.inputs, .ranks = spec.ranks, .ready = {}});
      sizes_[spec.ranks].groups.push_back(group);
    }
    if (!index_.try_emplace(spec.id, jobs_.size()).second) {
      throw std::invalid_argument(fmt::format("job {} is in the plan twice", spec.id));
    }
    Job& job = jobs_.emplace_back();
    job.spec = std::move(spec);
    job.group = group;
  }
  counts_[JobState::kWaiting] = jobs_.size();
  link_jobs();
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (jobs_[i].missing == 0) make_ready(i);
  }
  fail_sizes_without_room();
}

void Scheduler::link_jobs() {
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
  for (std::size_t next = reached.size(); next-- > 0;) {
    Job& job = jobs_[reached[next]];
    for (const std::size_t dependent : job.dependents) {
      job.chain_seconds = std::max(job.chain_seconds, jobs_[dependent].chain_seconds);
    }
    job.chain_seconds += job.spec.expected_seconds;
  }
}

std::vector<Decision> Scheduler::decide(double now, const IsBrief& is_brief) {
  std::vector<Decision> decisions;
  decided_ = now;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    make_ready(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
  }
  for (auto& [ranks, size] : sizes_) {
    if (size.num_ready == 0) size.served.reset();
    if (size.num_ready > 0 && !size.served) size.served = now;
  }
  cancel_running(decisions);
  serve_idle_gangs(now, decisions);
  if (!stopped_) start_gangs(now, decisions);
  if (!stopped_ && is_brief) send_ahead(now, is_brief, decisions);
  return decisions;
}

void Scheduler::cancel_running(std::vector<Decision>& decisions) {
  for (std::size_t g = 0; g < gangs_.size(); ++g) {
    for (const auto& index : {gangs_[g].job, gangs_[g].ahead}) {
      if (!index || !jobs_[*index].cancelled || jobs_[*index].told_to_cancel) continue;
      jobs_[*index].told_to_cancel = true;
      decisions.push_back({Action::kCancelJob, static_cast<int>(g), jobs_[*index].spec.id});
    }
  }
}

void Scheduler::serve_idle_gangs(double now, std::vector<Decision>& decisions) {
  const auto waits_too_long = starved(now);
  for (std::size_t g = 0; g < gangs_.size(); ++g) {
    Gang& gang = gangs_[g];
    if (gang.state != GangState::kIdle) continue;
    const bool over = stopped_ || counts_[JobState::kWaiting] == 0;
    // Not before it has run a job itself: else two sizes would end each other's gangs for ever.
    const bool makes_room = waits_too_long && longer_waiting(*waits_too_long, gang.ranks);
    const auto job = stopped_ || makes_room ? std::nullopt : pick(gang);
    if (job) {
      gang.state = GangState::kRunning;
      gang.job = job;
      send(g, *job, now, decisions);
      continue;
    }
    // Without work of its own it is in the way of a size that has no gang for its jobs.
    const bool in_the_way = !over && std::ranges::any_of(sizes_, [&](const auto& entry) {
      return entry.first != gang.ranks && missing_gangs(entry.first) > 0;
    });
    if (makes_room || in_the_way || (over && counts_[JobState::kRunning] == 0)) {
      gang.state = GangState::kEnding;
      decisions.push_back({Action::kEndGang, static_cast<int>(g)});
    }
  }
}

void Scheduler::send(std::size_t g,
                     std::size_t index,
                     double now,
                     std::vector<Decision>& decisions) {
  Job& job = jobs_[index];
  take_from_ready(index);
  gangs_[g].held = job.spec.inputs;
  sizes_.at(gangs_[g].ranks).served = now;
  job.told_to_cancel = false;
  set_state(job, JobState::kRunning);
  decisions.push_back({Action::kSendJob, static_cast<int>(g), job.spec.id});
}

void Scheduler::send_ahead(double now, const IsBrief& is_brief, std::vector<Decision>& decisions) {
  if (!one_size_is_ready()) return;  // Else a gang must come to rest, to make room for another.
  for (std::size_t g = 0; g < gangs_.size(); ++g) {
    Gang& gang = gangs_[g];
    // The last jobs wait for whichever gang is free first.
    const bool enough = gang.ranks > 0 && sizes_.at(gang.ranks).num_ready > gangs_.size();
    if (!enough || !gang.job || gang.ahead || !is_brief(jobs_[*gang.job].spec.id)) continue;
    const auto next = pick(gang);
    if (!next || !is_brief(jobs_[*next].spec.id)) continue;
    gang.ahead = next;
    send(g, *next, now, decisions);
  }
}

bool Scheduler::one_size_is_ready() const {
  return std::ranges::count_if(sizes_,
                               [](const auto& entry) { return entry.second.num_ready > 0; }) == 1;
}

void Scheduler::start_gangs(double now, std::vector<Decision>& decisions) {
  const auto waits_too_long = starved(now);
  for (const int ranks : sizes_by_wait()) {
    Size& size = sizes_.at(ranks);
    while (size.not_before <= now && missing_gangs(ranks) > 0) {
      const auto absent = std::ranges::find(gangs_, GangState::kAbsent, &Gang::state);
      if (absent == gangs_.end()) return;
      const int g = static_cast<int>(absent - gangs_.begin());
      auto slots = slots_.take(g, static_cast<std::size_t>(ranks));
      if (!slots) break;
      *absent = {.state = GangState::kStarting,
                 .ranks = ranks,
                 .started = now,
                 .job = {},
                 .ahead = {},
                 .held = {}};
      decisions.push_back({Action::kStartGang, g, {}, std::move(*slots)});
    }
    // What becomes free is for the one that has waited too long.
    if (waits_too_long == ranks) return;
  }
}

/// Whether jobs of size `one` have waited longer than those of `other`.
bool Scheduler::longer_waiting(int one, int other) const {
  const auto order = sizes_by_wait();
  return one != other && std::ranges::find(order, one) < std::ranges::find(order, other);
}

/// How many gangs of a size more would have a job to run at once.
std::size_t Scheduler::missing_gangs(int ranks) const {
  const Size& size = sizes_.at(ranks);
  if (size.broken) return 0;
  const auto present = static_cast<std::size_t>(std::ranges::count_if(gangs_, [&](const Gang& g) {
    return g.ranks == ranks && (g.state == GangState::kStarting || g.state == GangState::kIdle);
  }));
  return size.num_ready > present ? size.num_ready - present : 0;
}

/// Sizes with ready jobs, the one that was served longest ago first.
std::vector<int> Scheduler::sizes_by_wait() const {
  std::vector<std::pair<double, int>> order;
  for (const auto& [ranks, size] : sizes_) {
    if (size.served) order.emplace_back(*size.served, ranks);
  }
  std::ranges::sort(order);
  std::vector<int> sizes;
  for (const auto& [served, ranks] : order) sizes.push_back(ranks);
  return sizes;
}

/// The size whose jobs have waited longest, where that is too long and a gang could start.
std::optional<int> Scheduler::starved(double now) const {
  for (const int ranks : sizes_by_wait()) {
    const Size& size = sizes_.at(ranks);
    const bool has_gang = std::ranges::any_of(gangs_, [&](const Gang& gang) {
      return gang.ranks == ranks && gang.state != GangState::kAbsent &&
             gang.state != GangState::kEnding;
    });
    if (!size.broken && !has_gang && size.not_before <= now &&
        now - *size.served >= options_.patience_seconds) {
      return ranks;
    }
  }
  return std::nullopt;
}

std::optional<double> Scheduler::next_time() const {
  if (stopped_) return std::nullopt;
  double time = delayed_.empty() ? INFINITY : delayed_.begin()->first;
  const auto consider = [&](double candidate) {
    if (candidate > decided_) time = std::min(time, candidate);  // Others were considered already.
  };
  for (const auto& [ranks, size] : sizes_) {
    if (missing_gangs(ranks) == 0) continue;
    consider(size.not_before);
    if (size.served && sizes_.size() > 1) consider(*size.served + options_.patience_seconds);
  }
  return std::isinf(time) ? std::nullopt : std::optional(time);
}

void Scheduler::gang_ready(int gang) {
  Gang& present = gangs_.at(static_cast<std::size_t>(gang));
  assert(present.state == GangState::kStarting);
  present.state = GangState::kIdle;
  sizes_.at(present.ranks).start_failures = 0;
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

void Scheduler::job_failed(int gang, const std::string& error) {
  end(take_running(gang), JobState::kFailed, error);
}

void Scheduler::job_stumbled(int gang, EndCause cause, const std::string& why, double now) {
  retry_or_fail(take_running(gang), cause, why, now);
}

void Scheduler::job_not_sent(int gang, const std::string& job, const std::string& error) {
  const std::size_t index = index_.at(job);
  auto& ahead = gangs_.at(static_cast<std::size_t>(gang)).ahead;
  if (ahead == index) {
    ahead.reset();
  } else {
    static_cast<void>(take_running(gang));
  }
  end(index, JobState::kFailed, error);
}

void Scheduler::job_interrupted(int gang) { put_back(take_running(gang)); }

void Scheduler::gang_ended(int gang, EndCause cause, const std::string& why, double now) {
  Gang& dead = gangs_.at(static_cast<std::size_t>(gang));
  Size& size = sizes_.at(dead.ranks);
  const Gang before = std::exchange(dead, Gang{});
  if (cause == EndCause::kUnreachable) {
    dead.state = GangState::kUnreachable;
    slots_.abandon(gang);
    fail_sizes_without_room();
  } else {
    slots_.give_back(gang);
  }
  // Gangs that started together and died together count once.
  if (before.state == GangState::kStarting && before.started >= size.failed_at) {
    size.failed_at = now;
    size.not_before = now + delay(++size.start_failures);
    if (size.start_failures >= options_.start_attempts) {
      fail_size(before.ranks, fmt::format("no gang could start: {}", why));
    }
  }
  if (before.job) retry_or_fail(*before.job, cause, why, now);
  if (before.ahead && cause == EndCause::kUnreachable) {
    end(*before.ahead, JobState::kFailed, why);
  } else if (before.ahead) {
    put_back(*before.ahead);
  }
}

void Scheduler::cancel(const std::string& job) {
  const std::size_t index = index_.at(job);
  if (jobs_[index].state == JobState::kWaiting) end(index, JobState::kCancelled, "cancelled");
  if (jobs_[index].state == JobState::kRunning) jobs_[index].cancelled = true;
}

void Scheduler::cancel_all() {
  for (const Job& job : jobs_) cancel(job.spec.id);
}

void Scheduler::stop() { stopped_ = true; }

bool Scheduler::finished() const {
  const bool over = stopped_ || count(JobState::kWaiting) == 0;
  return over && count(JobState::kRunning) == 0 && std::ranges::all_of(gangs_, [](const Gang& g) {
           return g.state == GangState::kAbsent || g.state == GangState::kUnreachable;
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

bool Scheduler::cancelling(int gang) const {
  const auto& job = gangs_.at(static_cast<std::size_t>(gang)).job;
  return job && jobs_[*job].cancelled;
}

std::vector<std::string> Scheduler::take_ended() { return std::exchange(newly_ended_, {}); }

void Scheduler::set_state(Job& job, JobState state) {
  --counts_[job.state];
  ++counts_[state];
  job.state = state;
}

void Scheduler::make_ready(std::size_t index) {
  const Job& job = jobs_[index];
  if (groups_[job.group].ready.emplace(-job.chain_seconds, index).second) {
    ++sizes_.at(job.spec.ranks).num_ready;
  }
}

bool Scheduler::take_from_ready(std::size_t index) {
  const Job& job = jobs_[index];
  if (groups_[job.group].ready.erase({-job.chain_seconds, index}) == 0) return false;
  --sizes_.at(job.spec.ranks).num_ready;
  return true;
}

/// Fails or cancels a job and all that need it.
void Scheduler::end(std::size_t index, JobState state, const std::string& error) {
  Job& job = jobs_[index];
  if (job.state != JobState::kWaiting && job.state != JobState::kRunning) return;
  if (!take_from_ready(index))
    std::erase_if(delayed_, [&](const auto& d) { return d.second == index; });
  set_state(job, state);
  job.error = error;
  newly_ended_.push_back(job.spec.id);
  const char* what = state == JobState::kFailed ? "failed" : "was cancelled";
  for (const std::size_t dependent : job.dependents) {
    end(dependent, state, fmt::format("needs job {}, which {}", job.spec.id.substr(0, 8), what));
  }
}

void Scheduler::retry_or_fail(std::size_t index,
                              EndCause cause,
                              const std::string& why,
                              double now) {
  Job& job = jobs_[index];
  if (job.cancelled) {
    end(index, JobState::kCancelled, "cancelled");
    return;
  }
  if (cause == EndCause::kUnreachable) {
    end(index, JobState::kFailed, why);
    return;
  }
  int failures = 0;
  if (cause == EndCause::kPreempted) {
    failures = ++job.preemptions;
  } else if (cause == EndCause::kOutOfMemory) {
    failures = ++job.memory_deaths;
    if (failures > options_.memory_retries) {
      end(index, JobState::kFailed,
          fmt::format(
              "ran out of memory {} times, last: {}; give it more memory, or run fewer gangs "
              "beside it (--slots)",
              failures, why));
      return;
    }
  } else {
    failures = ++job.deaths;
    if (failures > options_.retries) {
      end(index, JobState::kFailed, fmt::format("its gang died {} times, last: {}", failures, why));
      return;
    }
  }
  set_state(job, JobState::kWaiting);
  delayed_.emplace(now + delay(failures), index);
}

void Scheduler::fail_sizes_without_room() {
  for (const auto& [ranks, size] : sizes_) {
    if (static_cast<std::size_t>(ranks) <= slots_.size()) continue;
    fail_size(ranks, fmt::format("needs {} ranks, there are {} slots; see --slots and --ranks",
                                 ranks, slots_.size()));
  }
}

void Scheduler::fail_size(int ranks, const std::string& why) {
  sizes_.at(ranks).broken = true;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (jobs_[i].state == JobState::kWaiting && jobs_[i].spec.ranks == ranks) {
      end(i, JobState::kFailed, why);
    }
  }
}

/// The job that the gang runs next, still among the ready ones.
std::optional<std::size_t> Scheduler::pick(const Gang& gang) const {
  std::optional<std::pair<double, std::size_t>> best;
  std::ptrdiff_t best_held = -1;
  for (const std::size_t g : sizes_.at(gang.ranks).groups) {
    const Group& group = groups_[g];
    if (group.ready.empty()) continue;
    const std::ptrdiff_t held = std::ranges::count_if(group.inputs, [&](const auto& input) {
      return std::ranges::find(gang.held, input) != gang.held.end();
    });
    if (held > best_held || (held == best_held && *group.ready.begin() < *best)) {
      best = *group.ready.begin();
      best_held = held;
    }
  }
  return best ? std::optional(best->second) : std::nullopt;
}

std::size_t Scheduler::take_running(int gang) {
  Gang& present = gangs_.at(static_cast<std::size_t>(gang));
  assert(present.state == GangState::kRunning && present.job.has_value());
  const std::size_t index = *present.job;
  present.job = std::exchange(present.ahead, std::nullopt);
  if (!present.job) present.state = GangState::kIdle;
  return index;
}

/// A job that was sent and did nothing, or kept its state.
void Scheduler::put_back(std::size_t index) {
  if (jobs_[index].cancelled) {
    end(index, JobState::kCancelled, "cancelled");
    return;
  }
  set_state(jobs_[index], JobState::kWaiting);
  make_ready(index);
}

double Scheduler::delay(int failures) const {
  return std::min(options_.first_delay_seconds * std::pow(2.0, std::min(failures, 30) - 1),
                  options_.max_delay_seconds);
}

}  // namespace assay
