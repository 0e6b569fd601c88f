#pragma once

#include "results/store.h"
#include "runner/cancel_requests.h"
#include "runner/progress.h"
#include "runner/scheduler.h"
#include "runner/slots.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

namespace assay {

/// What a gang tells its coordinator.
struct GangEvent {
  enum class Kind { kReady, kProgress, kDone, kInterrupted, kFailed };
  Kind kind = Kind::kReady;
  std::string job = {};  ///< Of all but kReady; with the attempt's number.
  std::int64_t attempt = 0;
  std::string error = {};        ///< Of kFailed.
  bool out_of_memory = false;    ///< Of kFailed: another attempt may fare better.
  nlohmann::json progress = {};  ///< Of kProgress: fields of `JobControl::progress`.
};

/// How a gang ended.
struct GangEnd {
  EndCause cause = EndCause::kDied;
  std::string text;  ///< For people.
  std::optional<std::int64_t> exit_code = {}, signal = {};
};

/// What a rank last said of itself in its beat file.
struct RankBeat {
  int rank = 0;
  std::string host;
  int pid = 0;
  std::string operation;       ///< The collective call it is in, or `computing`.
  std::uint64_t sequence = 0;  ///< Collective calls so far: equal calls have equal numbers.
  std::uint64_t ticks = 0;     ///< Grows with whatever the rank does.
  bool stopped = false;        ///< By a signal; known on this host only.
};

enum class Order { kStop, kCancel, kEnd };

enum class ResultCheck { kSizes, kDigests };

/// All that a coordinator does and sees beyond deciding: gangs, job folders, store, clock, people.
/// Production and the simulation of `tests/runner` implement it; the coordinator is the same.
///
/// Any call may throw StoreError or DataError (a full disk), which ends the run, except where it
/// says otherwise.
class World {
 public:
  virtual ~World() = default;

  /// Seconds of a clock that never goes back and is no clock of the day.
  [[nodiscard]] virtual double now() = 0;
  /// Returns when something has happened, or after `seconds`.
  virtual void wait(double seconds) = 0;
  /// How many times a person has asked to stop.
  [[nodiscard]] virtual int interrupts() = 0;
  [[nodiscard]] virtual std::vector<CancelRequest> cancel_requests() = 0;
  virtual void say(const std::string& line, bool important) = 0;
  virtual void show(const RunState& state) = 0;

  /// Starts a gang with one rank a slot, which belong to it until it has ended. Throws CommError.
  virtual void start_gang(int gang, const std::vector<Slot>& slots) = 0;
  /// Sends the job, of which no result of a former attempt is left, to a gang that runs at most one
  /// other and begins this one after it. Throws DataError where the disk is full: only this job
  /// fails.
  virtual void run_job(int gang, const Attempt& attempt) = 0;
  /// Lost where the gang is gone, which `receive` will tell.
  virtual void tell(int gang, Order order, const std::string& job) = 0;
  /// What has arrived; nothing once the gang has closed its end. Throws CommError where a message
  /// is damaged.
  [[nodiscard]] virtual std::optional<std::vector<GangEvent>> receive(int gang) = 0;
  /// Ends a gang and returns once every process of it is verified dead, or with kUnreachable where
  /// that cannot be found out. Throws CommError where one does not die.
  [[nodiscard]] virtual GangEnd end_gang(int gang, double grace_seconds) = 0;
  /// Of the ranks that run the gang's job.
  [[nodiscard]] virtual std::vector<RankBeat> beats(int gang) = 0;
  /// Ends every process that a former coordinator has left. Throws CommError.
  virtual void end_strays() = 0;

  [[nodiscard]] virtual std::unordered_set<std::string> done_jobs() = 0;
  [[nodiscard]] virtual std::vector<std::string> failed_jobs() = 0;
  /// Seconds a unit of work by cost class, as measured so far.
  [[nodiscard]] virtual std::map<std::string, double> seconds_per_work() = 0;
  /// Attempts that a former coordinator has left without an end.
  [[nodiscard]] virtual std::vector<Attempt> open_attempts() = 0;
  /// What begins and ends here the store may remember a moment later: not at all, where the
  /// coordinator is killed before. Folders say it too.
  [[nodiscard]] virtual Attempt begin_attempt(int gang, const std::string& job) = 0;
  virtual void finish_attempt(const Attempt& attempt,
                              const AttemptEnd& end,
                              const JobResult* result) = 0;
  /// The job is done: its folder says so.
  virtual void adopt(const std::string& job, const JobResult& result) = 0;
  /// The job is not done after all: its folder says so.
  virtual void forget(const std::string& job) = 0;
  /// The job may be tried again.
  virtual void reset_failed(const std::string& job) = 0;

  /// Whether the job's folder holds a result: a quick look.
  [[nodiscard]] virtual bool has_result(const std::string& job) = 0;
  /// The result of a job, all files of which are there and as long as it says; else nothing. With
  /// kDigests they also hash to what it says, and are made durable: whoever wrote them may have
  /// died before.
  [[nodiscard]] virtual std::optional<JobResult> complete_result(const std::string& job,
                                                                 ResultCheck check) = 0;
};

}  // namespace assay
