#include "tests/runner/simulated_world.h"

#include "core/error.h"

#include <algorithm>
#include <cstdlib>

namespace assay {
namespace {

constexpr double kDeath = 0.004;       // Of the coordinator, at a call that changes something.
constexpr double kMaxSeconds = 30000;  // Of a run: more than all faults together can cost.

void check_given_once(const Slot& slot, const std::vector<Slot>& others) {
  for (const Slot& other : others) {
    if (slot.core >= 0 && slot.core == other.core) {
      throw Violation(5, fmt::format("core {} is given to two gangs", slot.core));
    }
    if (!slot.device.empty() && slot.device == other.device) {
      throw Violation(5, fmt::format("GPU {} is given to two gangs", slot.device));
    }
  }
}

}  // namespace

SimulatedWorld::SimulatedWorld(SimulatedMachine& machine, int life)
    : machine_(machine), life_(life), started_(machine.clock()) {}

void SimulatedWorld::may_die() {
  if (!machine_.fault(kDeath)) return;
  ++machine_.faults_seen["coordinator killed"];
  machine_.lose_unsaved();
  throw CoordinatorKilled();
}

/// A change of the world, before and after which the coordinator may die.
void SimulatedWorld::change(const std::function<void()>& what) {
  may_die();
  ++changes_;
  machine_.remember_store();
  what();
  may_die();
}

double SimulatedWorld::now() { return machine_.clock(); }

void SimulatedWorld::wait(double seconds) {
  may_die();
  if (machine_.chance(0.5)) machine_.save();
  machine_.pass(seconds, [&] {
    return std::ranges::any_of(gangs_, [](const auto& entry) {
      return !entry.second->pipe.empty() || entry.second->closed;
    });
  });
  if (machine_.fault(0.003)) {
    ++machine_.faults_seen["interrupt"];
    ++interrupts_;
  }
  if (machine_.fault(0.002)) {  // The whole machine is held for an hour.
    ++machine_.faults_seen["clock leaps"];
    machine_.leap(3600);
  }
  if (machine_.clock() - started_ > kMaxSeconds) throw Violation(3, "the run does not end");
}

std::vector<CancelRequest> SimulatedWorld::cancel_requests() {
  if (!machine_.fault(0.003)) return {};
  ++machine_.faults_seen["cancel"];
  const auto& jobs = machine_.study.jobs;
  const std::string id = jobs[machine_.pick(jobs.size())].schedule.id;
  machine_.troubled.insert(id);
  return {{.all = false, .jobs = {id}}};
}

void SimulatedWorld::say(const std::string& line, bool /*important*/) { trace(line); }

void SimulatedWorld::trace(const std::string& line) const {
  static const bool wanted = std::getenv("ASSAY_SIMULATION_TRACE") != nullptr;
  if (wanted) fmt::print("life {} at {:.1f}: {}\n", life_, machine_.clock(), line);
}

void SimulatedWorld::show(const RunState& /*state*/) { may_die(); }

void SimulatedWorld::start_gang(int number, const std::vector<Slot>& slots) {
  change([&] {
    for (const auto& other : machine_.gangs) {
      if (!other->any_alive()) continue;
      if (other->life < life_) throw Violation(4, "a process of a former coordinator lives on");
      for (const Slot& slot : slots) check_given_once(slot, other->slots);
    }
    if (machine_.fault(0.01)) throw CommError("fork: Resource temporarily unavailable");
    trace(fmt::format("start gang {} of {}", number, slots.size()));
    gangs_[number] = &machine_.start_gang(number, life_, slots);
  });
}

void SimulatedWorld::run_job(int number, const Attempt& attempt) {
  change([&] {
    for (const auto& other : machine_.gangs) {
      const bool same_job = (other->work && other->work->job == attempt.job) ||
                            (other->ahead && other->ahead->job == attempt.job);
      if (other->any_alive() && same_job) {
        throw Violation(2, attempt.job + " is run by two attempts at once");
      }
    }
    if (machine_.disk_full()) {
      machine_.troubled.insert(attempt.job);
      throw DataError("run.json: no space left on device");
    }
    trace(fmt::format("gang {} runs {} attempt {}", number, attempt.job, attempt.number));
    machine_.disk.remove(attempt.job + "/result");
    machine_.give_job(gang(number), attempt.job, attempt.number);
  });
}

void SimulatedWorld::tell(int number, Order order, const std::string& job) {
  change([&] {
    SimulatedGang& told = gang(number);
    trace(fmt::format("tell gang {}: {}", number, static_cast<int>(order)));
    if (order == Order::kEnd) told.told_to_end = true;
    for (auto* work : {&told.work, &told.ahead}) {
      if (!*work) continue;
      if (order == Order::kStop) (*work)->stop = true;
      if (order == Order::kCancel && (*work)->job == job) (*work)->cancel = true;
    }
  });
}

std::optional<std::vector<GangEvent>> SimulatedWorld::receive(int number) {
  may_die();
  SimulatedGang& from = gang(number);
  if (from.garbled) throw CommError("gang {}: a line is damaged", number);
  if (from.pipe.empty() && from.closed) return std::nullopt;
  std::vector<GangEvent> events(from.pipe.begin(), from.pipe.end());
  from.pipe.clear();
  return events;
}

GangEnd SimulatedWorld::end_gang(int number, double /*grace_seconds*/) {
  GangEnd end;
  change([&] {
    SimulatedGang& ended = gang(number);
    trace(fmt::format("end gang {}", number));
    if (machine_.fault(0.03)) {
      ++machine_.faults_seen["process does not die"];
      throw CommError("process 4711 does not die");
    }
    const bool unreachable = machine_.fault(0.04);
    if (unreachable) {
      ++machine_.faults_seen["host lost"];
      if (ended.work) machine_.troubled.insert(ended.work->job);
      if (ended.ahead) machine_.troubled.insert(ended.ahead->job);
      end = {.cause = EndCause::kUnreachable, .text = "host c does not answer"};
    } else {
      if (!sabotaged(Sabotage::kSurvivorsLeft)) ended.kill_all();
      end = {.cause = ended.cause, .text = "killed by signal 9"};
    }
    ended.closed = true;
    gangs_.erase(number);
  });
  return end;
}

std::vector<RankBeat> SimulatedWorld::beats(int number) {
  std::vector<RankBeat> beats;
  const SimulatedGang& watched = gang(number);
  for (std::size_t rank = 0; rank < watched.ranks.size(); ++rank) {
    beats.push_back({.rank = static_cast<int>(rank),
                     .host = "here",
                     .operation = "all_reduce",
                     .sequence = watched.ticks,
                     .ticks = watched.ticks,
                     .stopped = watched.ranks[rank].stopped});
  }
  return beats;
}

void SimulatedWorld::end_strays() {
  may_die();
  for (const auto& gang : machine_.gangs) gang->kill_all();
  may_die();
}

std::unordered_set<std::string> SimulatedWorld::done_jobs() {
  return {machine_.store.done.begin(), machine_.store.done.end()};
}

std::vector<std::string> SimulatedWorld::failed_jobs() {
  return {machine_.store.failed.begin(), machine_.store.failed.end()};
}

std::vector<Attempt> SimulatedWorld::open_attempts() {
  std::vector<Attempt> open;
  std::ranges::copy_if(machine_.store.attempts, std::back_inserter(open),
                       [](const Attempt& attempt) { return attempt.outcome == "running"; });
  return open;
}

Attempt SimulatedWorld::begin_attempt(int number, const std::string& job) {
  Attempt attempt;
  attempt.job = job;
  attempt.gang = number;
  attempt.outcome = "running";
  machine_.gather();
  change([&] {
    // What begins, the store may write later.
    if (machine_.disk_full() && machine_.chance(0.5)) throw StoreError("store.db: disk full");
    for (const Attempt& open : open_attempts()) {
      if (open.job == job) throw Violation(2, job + " is tried again, its last attempt has no end");
    }
    auto& attempts = machine_.store.attempts;
    attempt.id = static_cast<std::int64_t>(attempts.size());
    attempt.number = 1 + std::ranges::count(attempts, job, &Attempt::job);
    attempts.push_back(attempt);
  });
  return attempt;
}

void SimulatedWorld::finish_attempt(const Attempt& attempt,
                                    const AttemptEnd& end,
                                    const JobResult* result) {
  machine_.gather();
  change([&] {
    if (machine_.disk_full()) throw StoreError("store.db: disk full");
    Attempt& stored = machine_.store.attempts.at(static_cast<std::size_t>(attempt.id));
    if (stored.outcome != "running") throw Violation(2, "an attempt ends twice");
    stored.outcome = end.outcome;
    if (end.outcome == "failed") machine_.store.failed.insert(attempt.job);
    if (end.outcome != "done") return;
    const auto written = machine_.whole_result(attempt.job);
    if (!written) throw Violation(1, attempt.job + " is done, its folder is not whole");
    if (written->at("attempt") != attempt.number) {
      throw Violation(2, attempt.job + ": the result of a dead attempt counts");
    }
    record(attempt.job, *result);
  });
}

void SimulatedWorld::adopt(const std::string& job, const JobResult& result) {
  change([&] {
    if (machine_.disk_full()) throw StoreError("store.db: disk full");
    record(job, result);
  });
}

void SimulatedWorld::record(const std::string& job, const JobResult& result) {
  machine_.store.done.insert(job);
  machine_.store.failed.erase(job);
  if (!sabotaged(Sabotage::kNumbersLost)) machine_.store.table[job] = result.result.at("value");
}

void SimulatedWorld::forget(const std::string& job) {
  change([&] {
    machine_.store.done.erase(job);
    machine_.store.table.erase(job);
  });
}

void SimulatedWorld::reset_failed(const std::string& job) {
  may_die();
  changes_ += static_cast<int>(machine_.store.failed.erase(job));
}

bool SimulatedWorld::has_result(const std::string& job) {
  const auto text = machine_.disk.read(job + "/result");
  return text && text->size() > 17;
}

std::optional<JobResult> SimulatedWorld::complete_result(const std::string& job,
                                                         ResultCheck check) {
  const auto result = machine_.whole_result(job);
  if (check == ResultCheck::kDigests) {
    machine_.disk.make_durable(job + "/checkpoint");
    machine_.disk.make_durable(job + "/result");
  }
  if (!result) return std::nullopt;
  return JobResult{.result = *result, .metrics = {}};
}

}  // namespace assay
