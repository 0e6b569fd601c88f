#pragma once

#include "runner/scheduler.h"
#include "runner/world.h"

#include <fmt/format.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace assay {

/// What must never be seen: `invariant` is its number in the list, I1 to I8.
struct Violation : std::runtime_error {
  Violation(int number, const std::string& what)
      : std::runtime_error(fmt::format("I{}: {}", number, what)), invariant(number) {}
  int invariant;
};

/// The coordinator's process ends here and now.
struct CoordinatorKilled {};

/// Deliberate faults, each of which the simulation must notice.
enum class Sabotage {
  kNone,
  // Of the world: workers, store, operating system.
  kFsyncDropped,    ///< Workers rename what is not durable.
  kTornStateTaken,  ///< A job goes on from half a checkpoint.
  kSurvivorsLeft,   ///< The next attempt starts though ranks of the last one live.
  kNumbersLost,     ///< A job is done, its numbers are not in the table.
  // Of scheduler and coordinator (sabotaged_world.h).
  kCoreGivenTwice,       ///< Gangs are bound without regard to each other.
  kGpuGivenTwice,        ///< The same with GPUs.
  kNeedsIgnored,         ///< A job starts before what it needs is done.
  kFailureTriedAgain,    ///< A job that fails by itself is tried for ever.
  kResultNotVerified,    ///< Done is believed without a look into the folder.
  kDeadAttemptBelieved,  ///< A result counts, whichever attempt wrote it.
  kEndNotRecorded,       ///< An attempt that ended without a result stays open.
  kStraysLeft,           ///< What a killed coordinator left is not ended.
  kEndlessRetries,       ///< A job that always kills its gang is tried for ever.
  kHangsIgnored,         ///< A rank that does not move is waited for.
  kDoneForgotten,        ///< What is done runs again.
  kClockOfTheDay,        ///< Time is taken from a clock that people set.
};

struct SimulatedJob {
  ScheduledJob schedule;
  int steps = 1;
  enum class Nature { kGood, kFails, kKills, kHungry } nature = Nature::kGood;
};

struct SimulatedStudy {
  std::vector<SimulatedJob> jobs;
  SchedulerOptions options;
  double brief_seconds = 0;  // What takes less is sent ahead.
  [[nodiscard]] const SimulatedJob& job(const std::string& id) const;
};

/// A study of a few jobs with random needs, gang sizes and natures.
[[nodiscard]] SimulatedStudy random_study(std::uint64_t seed);

/// A disk with a cache: what was not made durable may be gone after a power cut.
class SimulatedDisk {
 public:
  [[nodiscard]] std::optional<std::string> read(const std::string& path) const;
  void remove(const std::string& path) { files_.erase(path); }
  /// The steps of an atomic write: 0 temporary file, 1 its fsync, 2 rename, 3 fsync of the folder.
  void write_step(const std::string& path, const std::string& text, int step, bool honest);
  void make_durable(const std::string& path);
  void power_off(std::mt19937_64& random);

 private:
  struct File {
    std::string text;
    bool text_durable = false, entry_durable = false;
    std::optional<std::string> before;  // What the name stood for, as far as durable.
  };
  std::map<std::string, File> files_;
  std::map<std::string, bool> temporary_durable_;
};

/// What the store of a workspace remembers.
struct SimulatedStore {
  std::vector<Attempt> attempts;  // Without an end: `outcome` is `running`.
  std::set<std::string> done, failed;
  std::map<std::string, std::string> table;  // Value of each job that is done.
};

/// A gang: its ranks, what it does, and the pipe to the coordinator.
struct SimulatedGang {
  struct Rank {
    bool alive = true, stopped = false;
  };
  struct Work {
    std::string job;
    std::int64_t attempt = 0;
    int step = 0;
    std::uint64_t state = 0;
    int write_step = -1;                                            // Of the first of `to_write`.
    std::deque<std::pair<std::string, std::string>> to_write = {};  // Path and text.
    bool loaded = false, stop = false, cancel = false, interrupted = false;
  };
  int number = 0, life = 0;  // `life`: which coordinator started it.
  std::vector<Slot> slots;
  std::vector<Rank> ranks;
  bool ready = false, closed = false, garbled = false, told_to_end = false;
  EndCause cause = EndCause::kDied;
  std::optional<Work> work, ahead;  // What it runs, and what it runs next.
  std::deque<GangEvent> pipe;
  std::uint64_t ticks = 0;

  [[nodiscard]] bool any_alive() const;
  [[nodiscard]] bool moves() const;  // All ranks live and none is stopped.
  void kill_all();
};

/// Everything that outlives a coordinator: clock, disk, store, processes, and the faults to come.
/// One seed gives one course of events.
class SimulatedMachine {
 public:
  SimulatedMachine(SimulatedStudy study, std::uint64_t seed, Sabotage sabotage);

  // For the world of a coordinator.
  [[nodiscard]] double clock() const { return clock_; }
  [[nodiscard]] double clock_of_the_day() const { return clock_ + day_offset_; }
  /// Lets time pass until `condition` holds or `seconds` are over.
  void pass(double seconds, const std::function<bool()>& condition);
  /// Time goes on and nothing happens: the machine was held.
  void leap(double seconds);
  SimulatedGang& start_gang(int number, int life, const std::vector<Slot>& slots);
  void give_job(SimulatedGang& gang, const std::string& job, std::int64_t attempt);
  void coordinator_died();
  void power_off();
  [[nodiscard]] bool chance(double probability);
  /// The store is about to change: a power cut may undo that, as in SQLite's WAL.
  void remember_store();
  /// What the store is told from here on is lost with the coordinator, unless it is saved before.
  void gather();
  void save() { saved_store_.reset(); }
  void lose_unsaved();
  /// Whether a fault of the given probability happens now; there are only so many in a course.
  [[nodiscard]] bool fault(double probability);
  [[nodiscard]] bool disk_full() const { return clock_ < disk_full_until_; }
  void stop_faults();
  [[nodiscard]] std::size_t pick(std::size_t count) { return random_() % count; }

  // What a folder says.
  [[nodiscard]] std::optional<nlohmann::json> whole_result(const std::string& job) const;
  /// The value that an undisturbed job has.
  [[nodiscard]] std::string right_value(const std::string& job) const;
  void check_done_jobs() const;  ///< I1 and I6: store, table and folders agree.

  SimulatedStudy study;
  Sabotage sabotage;
  SimulatedDisk disk;
  SimulatedStore store;
  std::vector<std::unique_ptr<SimulatedGang>> gangs;
  std::set<std::string> troubled;  // Jobs that met a fault since the coordinator started.
  std::map<std::string, int> faults_seen;
  std::deque<SimulatedStore> former_stores;  // Before the last transactions.

 private:
  void schedule(double delay, std::function<void()> event);
  void schedule_step(SimulatedGang& gang);
  void step(SimulatedGang& gang);
  void load(SimulatedGang& gang, SimulatedGang::Work& work);
  void compute(SimulatedGang& gang, SimulatedGang::Work& work);
  void write(SimulatedGang& gang, SimulatedGang::Work& work);
  void finish(SimulatedGang& gang, GangEvent::Kind kind, const std::string& error = "");
  void misfortune(SimulatedGang& gang);
  void collapse(SimulatedGang& gang, EndCause cause);
  void late_write(const SimulatedGang::Work& work);

  std::mt19937_64 random_;
  double clock_ = 1000, day_offset_ = 0, disk_full_until_ = 0;
  int faults_left_ = 0;
  std::optional<SimulatedStore> saved_store_;  // Where there is more.
  bool disk_lies_ = false;                     // Its fsyncs may do nothing.
  std::set<std::string> lied_about_;           // Jobs whose fsyncs did nothing.
  std::multimap<double, std::function<void()>> events_;
};

}  // namespace assay
