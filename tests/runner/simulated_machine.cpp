#include "tests/runner/simulated_machine.h"

#include "core/error.h"

#include <algorithm>
#include <array>

namespace assay {
namespace {

using nlohmann::json;

constexpr double kSecondsPerStep = 2;
constexpr double kStartSeconds = 3;
constexpr double kDaySeconds = 86400;
constexpr int kStepsPerState = 2;  // Between two checkpoints.
constexpr double kMisfortune = 0.02;
constexpr std::uint64_t kCoresAlone = 0, kGpusAlone = 1;  // Else both.

std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 31)) * 0x9e3779b97f4a7c15ULL;
  return value ^ (value >> 29);
}

std::uint64_t mix(std::uint64_t seed, const std::string& text) {
  for (const char c : text) seed = mix(seed + static_cast<unsigned char>(c));
  return seed;
}

std::string state_path(const std::string& job) { return job + "/state"; }
std::string checkpoint_path(const std::string& job) { return job + "/checkpoint"; }
std::string result_path(const std::string& job) { return job + "/result"; }

/// A text that tells whether it is whole.
std::string sealed(const json& content) {
  const std::string text = content.dump();
  return fmt::format("{:016x} {}", mix(1, text), text);
}

std::optional<json> unsealed(const std::optional<std::string>& text) {
  if (!text || text->size() < 17) return std::nullopt;
  const std::string content = text->substr(17);
  if (text->substr(0, 16) != fmt::format("{:016x}", mix(1, content))) return std::nullopt;
  return json::parse(content);
}

}  // namespace

const SimulatedJob& SimulatedStudy::job(const std::string& id) const {
  return *std::ranges::find(jobs, id, [](const SimulatedJob& job) { return job.schedule.id; });
}

SimulatedStudy random_study(std::uint64_t seed) {
  std::mt19937_64 random(mix(seed));
  const auto up_to = [&](std::uint64_t count) { return random() % count; };
  SimulatedStudy study;
  const auto slots = static_cast<int>(1 + up_to(5));
  study.options.slots.clear();
  const std::uint64_t with = up_to(3);
  for (int i = 0; i < slots; ++i) {
    study.options.slots.push_back({.core = with == kGpusAlone ? -1 : i,
                                   .device = with == kCoresAlone ? "" : fmt::format("GPU-{}", i)});
  }
  study.options.ranks = static_cast<int>(1 + up_to(static_cast<std::uint64_t>(slots)));
  study.options.patience_seconds = 60;
  // Many brief jobs, most of which need no other, or few of which none is.
  const bool brief = up_to(2) == 0;
  study.brief_seconds = brief ? 30 : 0;
  const auto count = static_cast<std::size_t>(2 + up_to(brief ? 24 : 9));
  for (std::size_t i = 0; i < count; ++i) {
    SimulatedJob job{
        .schedule = {.id = fmt::format("job-{}", i), .inputs = {fmt::format("input-{}", up_to(3))}},
        .steps = static_cast<int>(1 + up_to(8))};
    if (up_to(3) == 0)
      job.schedule.ranks = static_cast<int>(1 + up_to(static_cast<std::uint64_t>(slots)));
    if (up_to(2) == 0) job.schedule.expected_seconds = 2.0 * job.steps;
    for (std::size_t k = 0; k < i; ++k) {
      if (up_to(brief ? 60 : 4) == 0) job.schedule.needs.push_back(study.jobs[k].schedule.id);
    }
    using Nature = SimulatedJob::Nature;
    const std::uint64_t nature = up_to(40);
    if (nature < 3)
      job.nature = std::array{Nature::kFails, Nature::kKills, Nature::kHungry}.at(nature);
    study.jobs.push_back(job);
  }
  return study;
}

std::optional<std::string> SimulatedDisk::read(const std::string& path) const {
  const auto found = files_.find(path);
  return found == files_.end() ? std::nullopt : std::optional(found->second.text);
}

void SimulatedDisk::write_step(const std::string& path,
                               const std::string& text,
                               int step,
                               bool honest) {
  if (step == 0) temporary_durable_[path] = false;
  if (step == 1) temporary_durable_[path] = honest;
  if (step == 2) {
    std::optional<std::string> before;
    if (const auto old = files_.find(path); old != files_.end()) {
      before = old->second.entry_durable ? old->second.text : old->second.before;
    }
    files_[path] = {.text = text,
                    .text_durable = temporary_durable_[path],
                    .entry_durable = false,
                    .before = before};
  }
  if (step == 3 && honest) make_durable(path);
}

void SimulatedDisk::make_durable(const std::string& path) {
  if (const auto file = files_.find(path); file != files_.end()) file->second.entry_durable = true;
}

void SimulatedDisk::power_off(std::mt19937_64& random) {
  for (auto file = files_.begin(); file != files_.end();) {
    File& content = file->second;
    const bool name_survives = content.entry_durable || random() % 2 == 0;
    if (name_survives && !content.text_durable) content.text.resize(content.text.size() / 2);
    if (!name_survives && content.before) content.text = *content.before;
    content.text_durable = content.entry_durable = true;
    if (!name_survives && !content.before) {
      file = files_.erase(file);
    } else {
      ++file;
    }
  }
}

bool SimulatedGang::any_alive() const { return std::ranges::any_of(ranks, &Rank::alive); }

bool SimulatedGang::moves() const {
  return std::ranges::all_of(ranks, [](const Rank& rank) { return rank.alive && !rank.stopped; });
}

void SimulatedGang::kill_all() {
  for (Rank& rank : ranks) rank.alive = false;
}

SimulatedMachine::SimulatedMachine(SimulatedStudy planned, std::uint64_t seed, Sabotage how)
    : study(std::move(planned)), sabotage(how), random_(mix(seed + 77)) {
  faults_left_ = static_cast<int>(random_() % 64);
  disk_lies_ = random_() % 5 == 0;
}

void SimulatedMachine::stop_faults() {
  faults_left_ = 0;
  disk_full_until_ = 0;
  disk_lies_ = false;
}

bool SimulatedMachine::chance(double probability) {
  return static_cast<double>(random_() >> 11) * 0x1p-53 < probability;
}

bool SimulatedMachine::fault(double probability) {
  if (faults_left_ == 0 || !chance(probability)) return false;
  --faults_left_;
  return true;
}

void SimulatedMachine::schedule(double delay, std::function<void()> event) {
  events_.emplace(clock_ + delay, std::move(event));
}

void SimulatedMachine::pass(double seconds, const std::function<bool()>& condition) {
  const double until = clock_ + seconds;
  while (!condition() && !events_.empty() && events_.begin()->first <= until) {
    clock_ = std::max(clock_, events_.begin()->first);
    const auto event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    event();
  }
  if (!condition()) clock_ = until;
}

void SimulatedMachine::leap(double seconds) {
  clock_ += seconds;
  std::multimap<double, std::function<void()>> later;
  for (auto& [time, event] : events_) later.emplace(time + seconds, std::move(event));
  events_ = std::move(later);
}

SimulatedGang& SimulatedMachine::start_gang(int number, int life, const std::vector<Slot>& slots) {
  SimulatedGang& gang = *gangs.emplace_back(std::make_unique<SimulatedGang>());
  gang.number = number;
  gang.life = life;
  gang.slots = slots;
  gang.ranks.resize(slots.size());
  schedule(kStartSeconds * (0.5 + static_cast<double>(chance(0.5))), [this, &gang] {
    if (!gang.any_alive()) return;
    if (fault(kMisfortune)) {
      misfortune(gang);
    } else {
      gang.ready = true;
      gang.pipe.push_back({.kind = GangEvent::Kind::kReady});
      schedule_step(gang);
    }
  });
  return gang;
}

void SimulatedMachine::give_job(SimulatedGang& gang, const std::string& job, std::int64_t attempt) {
  if (gang.work && gang.ahead) throw Violation(2, "a gang is sent three jobs");
  if (gang.work) ++faults_seen["job sent ahead"];
  (gang.work ? gang.ahead : gang.work) = SimulatedGang::Work{.job = job, .attempt = attempt};
}

void SimulatedMachine::schedule_step(SimulatedGang& gang) {
  const double share = gang.work && gang.work->write_step >= 0 ? 0.1 : 1;
  schedule(kSecondsPerStep * share * (0.5 + static_cast<double>(random_() % 1000) / 1000),
           [this, &gang] { step(gang); });
}

/// What a gang does next. Between any two of these steps it may be hit.
void SimulatedMachine::step(SimulatedGang& gang) {
  if (gang.closed || !gang.any_alive()) return;
  schedule_step(gang);
  if (!gang.moves()) return;
  if (gang.told_to_end && !gang.work) {
    collapse(gang, EndCause::kDied);
    return;
  }
  if (fault(kMisfortune)) {
    misfortune(gang);
    return;
  }
  if (!gang.work) return;
  SimulatedGang::Work& work = *gang.work;
  ++gang.ticks;
  if (!work.loaded && (work.stop || work.cancel)) {
    finish(gang, GangEvent::Kind::kInterrupted);
  } else if (!work.loaded) {
    load(gang, work);
  } else if (!work.to_write.empty()) {
    write(gang, work);
  } else if (work.interrupted) {
    finish(gang, GangEvent::Kind::kInterrupted);
  } else if (work.step >= study.job(work.job).steps) {
    finish(gang, GangEvent::Kind::kDone);
  } else {
    compute(gang, work);
  }
}

void SimulatedMachine::load(SimulatedGang& gang, SimulatedGang::Work& work) {
  work.loaded = true;
  work.state = mix(7, work.job);
  for (const std::string& needed : study.job(work.job).schedule.needs) {
    const auto input = unsealed(disk.read(checkpoint_path(needed)));
    if (!input) {
      if (disk_lies_) troubled.insert(work.job);
      finish(gang, GangEvent::Kind::kFailed, "the checkpoint of " + needed + " is damaged");
      return;
    }
    work.state = mix(work.state, input->at("value"));
  }
  const auto text = disk.read(state_path(work.job));
  if (const auto state = unsealed(text)) {
    work.step = state->at("step");
    work.state = state->at("state");
  } else if (text && sabotage == Sabotage::kTornStateTaken) {
    work.step = kStepsPerState;  // As far as it could be read.
  }
}

void SimulatedMachine::compute(SimulatedGang& gang, SimulatedGang::Work& work) {
  const SimulatedJob& job = study.job(work.job);
  using Nature = SimulatedJob::Nature;
  if (job.nature == Nature::kFails) {
    finish(gang, GangEvent::Kind::kFailed, "NaN");
    return;
  }
  if (job.nature == Nature::kKills || job.nature == Nature::kHungry) {
    collapse(gang, job.nature == Nature::kKills ? EndCause::kDied : EndCause::kOutOfMemory);
    return;
  }
  work.state = mix(work.state + static_cast<std::uint64_t>(++work.step));
  work.interrupted = work.stop || work.cancel;
  gang.pipe.push_back({.kind = GangEvent::Kind::kProgress,
                       .job = work.job,
                       .attempt = work.attempt,
                       .progress = {{"done", work.step}, {"total", job.steps}}});
  if (work.step == job.steps) {
    work.interrupted = false;
    const json value = {{"value", std::to_string(work.state)}};
    work.to_write.emplace_back(checkpoint_path(work.job), sealed(value));
    json result = value;
    result["attempt"] = work.attempt;
    work.to_write.emplace_back(result_path(work.job), sealed(result));
  } else if (work.interrupted || work.step % kStepsPerState == 0) {
    work.to_write.emplace_back(state_path(work.job),
                               sealed({{"step", work.step}, {"state", work.state}}));
  }
  work.write_step = work.to_write.empty() ? -1 : 0;
}

void SimulatedMachine::write(SimulatedGang& gang, SimulatedGang::Work& work) {
  const auto& [path, text] = work.to_write.front();
  if (disk_full() && work.write_step == 0) {
    troubled.insert(work.job);
    finish(gang, GangEvent::Kind::kFailed, path + ": no space left on device");
    return;
  }
  const bool lies = disk_lies_ && fault(0.1);
  if (lies) {
    ++faults_seen["fsync dropped"];
    lied_about_.insert(work.job);
  }
  const bool in_place = sabotage == Sabotage::kTornStateTaken && path == state_path(work.job);
  const bool honest = sabotage != Sabotage::kFsyncDropped && !lies && !in_place;
  disk.write_step(path, text, work.write_step, honest);
  if (++work.write_step < 4) return;
  work.to_write.pop_front();
  work.write_step = work.to_write.empty() ? -1 : 0;
}

void SimulatedMachine::finish(SimulatedGang& gang, GangEvent::Kind kind, const std::string& error) {
  gang.pipe.push_back(
      {.kind = kind, .job = gang.work->job, .attempt = gang.work->attempt, .error = error});
  const std::string job = gang.work->job;
  gang.work = std::exchange(gang.ahead, std::nullopt);
  if (fault(0.05)) {
    troubled.insert(job);
    ++faults_seen["message lost with its process"];
    gang.pipe.pop_back();
    collapse(gang, EndCause::kDied);
  }
}

/// Something that happens to processes and machines.
void SimulatedMachine::misfortune(SimulatedGang& gang) {
  if (gang.work) troubled.insert(gang.work->job);
  const std::uint64_t which = random_() % 100;
  const std::size_t rank = random_() % gang.ranks.size();
  const auto seen = [&](const char* name) { ++faults_seen[name]; };
  if (which < 30) {
    seen("rank killed");
    gang.ranks[rank].alive = false;
    schedule(0.5, [this, &gang] { collapse(gang, EndCause::kDied); });
  } else if (which < 48) {
    seen("rank hangs");
    gang.ranks[rank].stopped = true;
  } else if (which < 56) {
    seen("out of memory");
    collapse(gang, EndCause::kOutOfMemory);
  } else if (which < 64) {
    seen("preempted");
    collapse(gang, EndCause::kPreempted);
  } else if (which < 71) {
    seen("message damaged");
    gang.garbled = true;
  } else if (which < 79) {
    seen("disk full");
    disk_full_until_ = clock_ + 15;
  } else if (which < 88) {
    seen("clock set");
    day_offset_ += kDaySeconds * (chance(0.5) ? 1 : -1);
  } else {
    seen("power cut");
    power_off();
  }
}

/// The launcher ends: ranks die with it, mostly, and what they said last may be lost.
void SimulatedMachine::collapse(SimulatedGang& gang, EndCause cause) {
  if (gang.closed) return;
  gang.cause = cause;
  if (gang.work) {
    troubled.insert(gang.work->job);
    if (chance(0.3)) late_write(*gang.work);
  }
  for (SimulatedGang::Rank& rank : gang.ranks) {
    if (rank.alive && faults_left_ > 0 && chance(0.2)) continue;  // Not yet.
    rank.alive = false;
  }
  gang.closed = true;
}

/// A dead rank's last write reaches a network file system when another attempt runs already.
void SimulatedMachine::late_write(const SimulatedGang::Work& work) {
  if (study.job(work.job).nature != SimulatedJob::Nature::kGood || !fault(0.5)) return;
  ++faults_seen["late write"];
  const std::string value = right_value(work.job);
  schedule(1 + static_cast<double>(random_() % 20),
           [this, job = work.job, attempt = work.attempt, value] {
             const json content = {{"value", value}, {"attempt", attempt}};
             for (int step = 0; step < 4; ++step) {
               disk.write_step(checkpoint_path(job), sealed({{"value", value}}), step, true);
             }
             for (int step = 0; step < 4; ++step)
               disk.write_step(result_path(job), sealed(content), step, true);
           });
}

void SimulatedMachine::coordinator_died() {
  for (const auto& gang : gangs) {
    if (!gang->any_alive()) continue;
    if (gang->work) troubled.insert(gang->work->job);
    if (chance(0.6)) {
      gang->kill_all();
    } else {  // It has not noticed yet.
      schedule(5 * static_cast<double>(random_() % 1000) / 1000, [&dying = *gang] {
        if (dying.moves()) dying.kill_all();
      });
    }
  }
}

void SimulatedMachine::gather() {
  if (!saved_store_) saved_store_ = store;
}

void SimulatedMachine::lose_unsaved() {
  if (!saved_store_) return;
  ++faults_seen["unsaved lost"];
  store = *std::exchange(saved_store_, std::nullopt);
}

void SimulatedMachine::remember_store() {
  if (saved_store_) return;  // One transaction with what came before.
  former_stores.push_back(store);
  if (former_stores.size() > 3) former_stores.pop_front();
}

void SimulatedMachine::power_off() {
  lose_unsaved();
  if (!former_stores.empty() && chance(0.5)) {
    ++faults_seen["transactions lost"];
    store = former_stores[pick(former_stores.size())];
    former_stores.clear();
  }
  for (const auto& gang : gangs) {
    if (gang->work && gang->any_alive()) troubled.insert(gang->work->job);
    gang->kill_all();
  }
  events_.clear();
  disk.power_off(random_);
  check_done_jobs();
  throw CoordinatorKilled();
}

std::optional<json> SimulatedMachine::whole_result(const std::string& job) const {
  const auto result = unsealed(disk.read(result_path(job)));
  const auto checkpoint = unsealed(disk.read(checkpoint_path(job)));
  if (!result || !checkpoint || checkpoint->at("value") != result->at("value")) return std::nullopt;
  return result;
}

std::string SimulatedMachine::right_value(const std::string& id) const {
  const SimulatedJob& job = study.job(id);
  std::uint64_t state = mix(7, id);
  for (const std::string& needed : job.schedule.needs) state = mix(state, right_value(needed));
  for (int step = 1; step <= job.steps; ++step)
    state = mix(state + static_cast<std::uint64_t>(step));
  return std::to_string(state);
}

void SimulatedMachine::check_done_jobs() const {
  for (const std::string& job : store.done) {
    // What a disk has lost that it had promised is noticed when it is needed.
    if (!whole_result(job) && !lied_about_.contains(job))
      throw Violation(1, job + " is done, its folder is not whole");
    const auto row = store.table.find(job);
    if (row == store.table.end()) throw Violation(6, job + " is done and not in the table");
    if (row->second != right_value(job)) throw Violation(8, job + " has other numbers");
  }
  if (store.table.size() != store.done.size())
    throw Violation(6, "numbers of jobs that are not done");
}

}  // namespace assay
