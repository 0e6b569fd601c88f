#pragma once

#include "runner/hang_watch.h"
#include "runner/scheduler.h"
#include "runner/time_estimate.h"
#include "runner/world.h"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace assay {

/// A job of a plan as its coordinator sees it.
struct PlannedJob {
  ScheduledJob schedule;
  std::string cost_class;  ///< Jobs of one class take time in proportion to their work.
  double work = 0;
};

struct CoordinatorOptions {
  SchedulerOptions scheduler;
  double start_timeout_seconds = 120;  ///< For a gang to say that it is ready.
  double hang_timeout_seconds = 900;   ///< For some rank of a job to move.
  double grace_seconds = 30;           ///< For what was told to stop or to end.
  double brief_seconds = 0.1;          ///< A job that takes less is sent ahead of its turn.
};

struct EndedJob {
  std::string id, label, error;
  bool ran = false;  ///< In this run: it has a log.
};

struct RunReport {
  std::size_t total = 0, done_before = 0, done = 0;
  std::vector<EndedJob> failed, cancelled;
  bool interrupted = false;
};

/// Runs what of a plan is not done and records it: when an attempt starts, when a result counts,
/// when the next attempt may start, and what a coordinator that was killed has left. Does nothing
/// itself: all it does and sees is the World.
///
/// - Done is what the job's folder says, whole; the store follows. A result counts if the live
///   attempt wrote it, or, at the start of a run, when every process of a former one is dead.
/// - The next attempt of a job starts when every process of the last one is verified dead.
/// - A gang that is not ready in time, or in whose job no rank moves, is ended.
class Coordinator {
 public:
  /// `jobs`: each after those that it needs. `label`: what people call a job; asked for those that
  /// run.
  Coordinator(std::vector<PlannedJob> jobs,
              std::function<std::string(const std::string& id)> label,
              const CoordinatorOptions& options,
              World& world);

  /// Runs to the end; or until a second interrupt, whereupon the caller ends the World with every
  /// gang in it.
  [[nodiscard]] RunReport run();

 private:
  struct RunningGang {
    bool present = false, ready = false;
    std::optional<Attempt> attempt, ahead;  // What it runs, and what it runs next.
    double attempt_started = 0;
    std::optional<double> deadline;  // By which it has done what it was told.
    HangWatch watch;
    nlohmann::json progress;
  };

  void recover();
  void settle_open_attempts();
  [[nodiscard]] std::vector<bool> check_folders();
  void act(const Decision& decision);
  void start(int gang, const std::vector<Slot>& slots);
  void send(int gang, const std::string& job);
  void receive(int gang);
  void handle(int gang, const GangEvent& event);
  [[nodiscard]] std::optional<JobResult> result_of(const Attempt& attempt, ResultCheck check);
  void go_on(int gang);
  void record_done(int gang, const JobResult& result);
  void finish(int gang, const std::string& outcome, const GangEnd& end);
  void give_back(int gang, const GangEnd& end);
  void lose(int gang, const GangEnd& why, double grace_seconds);
  void heed_people();
  void end_slow_gangs();
  void report_ended();
  void expect(const std::string& job, bool waits);
  [[nodiscard]] bool is_brief(const std::string& id) const;
  [[nodiscard]] RunState state();
  [[nodiscard]] const PlannedJob& job(const std::string& id) const { return jobs_[index_.at(id)]; }
  [[nodiscard]] RunningGang& gang(int g) { return gangs_[static_cast<std::size_t>(g)]; }

  std::vector<PlannedJob> jobs_;
  std::unordered_map<std::string_view, std::size_t> index_;
  std::function<std::string(const std::string&)> label_;
  CoordinatorOptions options_;
  World& world_;
  TimeEstimate estimate_;
  std::set<std::string> expected_;
  std::unordered_set<std::string> begun_;  // Jobs of which an attempt has.
  std::optional<Scheduler> scheduler_;
  std::vector<RunningGang> gangs_;
  double beats_read_ = 0;
  RunReport report_;
};

}  // namespace assay
