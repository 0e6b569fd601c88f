#pragma once

#include "runner/slots.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace assay {

/// One job as the scheduler sees it.
struct ScheduledJob {
  std::string id = {};
  std::vector<std::string> needs = {};   ///< Jobs to be done before; ids outside the list are done.
  std::vector<std::string> inputs = {};  ///< What a gang keeps loaded: a backbone, feature sets.
  int ranks = 0;                ///< Of the gang that runs it; 0: as `SchedulerOptions::ranks`.
  double expected_seconds = 0;  ///< 0: unknown.
};

struct SchedulerOptions {
  std::vector<Slot> slots = {Slot{}};  ///< One a rank.
  int ranks = 1;                       ///< Of a gang, where its jobs do not say.
  int retries = 3;                     ///< Of a job whose gang died under it.
  int memory_retries = 1;              ///< Of a job that ran out of memory.
  double first_delay_seconds = 1;      ///< Before the first retry; doubled each time.
  double max_delay_seconds = 60;
  int start_attempts = 3;         ///< Deaths in a row before a gang was ready: then it is given up.
  double patience_seconds = 300;  ///< Jobs of one gang size wait that long for those of others.
};

/// Why a gang ended. Preemption is no fault of the job: it is tried again without limit.
enum class EndCause {
  kDied,
  kOutOfMemory,
  kPreempted,
  kHung,
  kUnreachable,  ///< Its host is lost: whether its processes are dead cannot be found out.
};

enum class Action {
  kStartGang,
  kSendJob,
  kCancelJob,  ///< The running job keeps its state and stops.
  kEndGang,    ///< Closes the gang's input: it ends by itself.
};

struct Decision {
  Action action;
  int gang;
  std::string job = {};          ///< Of kSendJob and kCancelJob.
  std::vector<Slot> slots = {};  ///< Of kStartGang: one for each of its ranks.
  bool operator==(const Decision&) const = default;
};

/// Whether a job takes so little time that its gang had better be sent the next one before it ends.
using IsBrief = std::function<bool(const std::string& job)>;

enum class JobState { kWaiting, kRunning, kDone, kFailed, kCancelled };

/// Decides which gang runs what next and on which slots, without doing anything: a state machine on
/// events and a clock that the caller passes in (seconds, never going back).
///
/// - A job starts when all it needs is done; among those that could, the one whose inputs the gang
///   holds, then the one expected to take longest with what needs it, then the first of the plan.
/// - A gang runs one job at a time. Where jobs are brief it is sent the next one while it runs one,
///   and does not wait between the two; should it die before that begins, nothing was tried.
/// - A slot belongs to one gang at a time. Gangs of several sizes share the slots: one size waits
///   for another at most `patience_seconds` and the jobs that run, then its turn comes.
/// - A job that fails by itself fails for good, and so do those that need it, by name; all others
///   go on. A cancelled one likewise.
/// - A job whose gang died is tried again after a growing delay, a number of times that depends on
///   the cause; one that may still run somewhere is not.
/// - Gangs of one size that die before they are ready, several times in a row, are given up, and
///   jobs of that size fail.
class Scheduler {
 public:
  /// Throws std::invalid_argument where two jobs have one id or jobs need each other in a circle.
  Scheduler(std::vector<ScheduledJob> jobs, const SchedulerOptions& options);

  /// What to do now. The caller does all of it and reports what happens. Without `is_brief` no job
  /// is.
  [[nodiscard]] std::vector<Decision> decide(double now, const IsBrief& is_brief = {});
  /// When to call `decide` again though nothing happened; nothing where only events matter.
  [[nodiscard]] std::optional<double> next_time() const;

  // What happened. A gang goes on with the job that it was sent ahead, if any.
  void gang_ready(int gang);
  void job_done(int gang);
  /// `error` is the job's own (NaN, an unreadable image): trying again would not help.
  void job_failed(int gang, const std::string& error);
  /// The running job ended for a reason that another attempt may not meet; the gang lives.
  void job_stumbled(int gang, EndCause cause, const std::string& why, double now);
  /// A job could not be sent to the gang: it fails for good.
  void job_not_sent(int gang, const std::string& job, const std::string& error);
  /// The running job stopped because it was told to: it waits again, or is cancelled.
  void job_interrupted(int gang);
  /// Every process of the gang is verified dead; or, with kUnreachable, may not be: its job fails
  /// for good and its slots are given to nobody. `why` for people.
  void gang_ended(int gang, EndCause cause, const std::string& why, double now);
  /// Ends a job before it is done, and what needs it.
  void cancel(const std::string& job);
  void cancel_all();
  /// Starts nothing more.
  void stop();

  /// No job runs and none will, and every gang has ended.
  [[nodiscard]] bool finished() const;
  [[nodiscard]] bool knows(const std::string& job) const { return index_.contains(job); }
  [[nodiscard]] JobState state(const std::string& job) const;
  /// The error of a failed or cancelled job.
  [[nodiscard]] const std::string& error(const std::string& job) const;
  [[nodiscard]] std::size_t count(JobState state) const;
  /// The job that the gang runs, if any.
  [[nodiscard]] std::optional<std::string> running(int gang) const;
  /// Whether the job that the gang runs was cancelled.
  [[nodiscard]] bool cancelling(int gang) const;
  /// Gangs have numbers in [0, max_gangs()).
  [[nodiscard]] int max_gangs() const { return static_cast<int>(gangs_.size()); }
  /// Jobs that became failed or cancelled since the last call, in order: with their dependents.
  [[nodiscard]] std::vector<std::string> take_ended();

 private:
  struct Job {
    ScheduledJob spec;
    JobState state = JobState::kWaiting;
    std::size_t group = 0;     // Jobs with equal inputs and gang size.
    double chain_seconds = 0;  // Expected, with the longest chain of jobs that need it.
    std::size_t missing = 0;   // Needed jobs that are not done.
    std::vector<std::size_t> dependents;
    int deaths = 0, memory_deaths = 0, preemptions = 0;
    bool cancelled = false, told_to_cancel = false;  // While it runs.
    std::string error;
  };
  struct Group {
    std::vector<std::string> inputs;
    int ranks = 0;
    std::set<std::pair<double, std::size_t>> ready;  // (-chain_seconds, job)
  };
  /// Gangs of one size and the jobs that want them.
  struct Size {
    std::vector<std::size_t> groups;
    std::size_t num_ready = 0;
    std::optional<double> served;  // When a job was sent last, or the first one became ready.
    int start_failures = 0;
    double failed_at = -1, not_before = 0;
    bool broken = false;
  };
  enum class GangState { kAbsent, kStarting, kIdle, kRunning, kEnding, kUnreachable };
  struct Gang {
    GangState state = GangState::kAbsent;
    int ranks = 0;
    double started = 0;
    std::optional<std::size_t> job, ahead;  // What it runs, and what it runs next.
    std::vector<std::string> held;          // Inputs of the job that it was sent last.
  };

  void link_jobs();
  void set_state(Job& job, JobState state);
  void make_ready(std::size_t index);
  bool take_from_ready(std::size_t index);
  void end(std::size_t index, JobState state, const std::string& error);
  void retry_or_fail(std::size_t index, EndCause cause, const std::string& why, double now);
  void fail_size(int ranks, const std::string& why);
  void fail_sizes_without_room();
  [[nodiscard]] std::optional<std::size_t> pick(const Gang& gang) const;
  [[nodiscard]] std::size_t take_running(int gang);
  void put_back(std::size_t index);
  [[nodiscard]] bool one_size_is_ready() const;
  void send(std::size_t gang, std::size_t job, double now, std::vector<Decision>& decisions);
  [[nodiscard]] double delay(int failures) const;
  [[nodiscard]] std::vector<int> sizes_by_wait() const;
  [[nodiscard]] bool longer_waiting(int one, int other) const;
  [[nodiscard]] std::size_t missing_gangs(int ranks) const;
  [[nodiscard]] std::optional<int> starved(double now) const;
  void serve_idle_gangs(double now, std::vector<Decision>& decisions);
  void start_gangs(double now, std::vector<Decision>& decisions);
  void send_ahead(double now, const IsBrief& is_brief, std::vector<Decision>& decisions);
  void cancel_running(std::vector<Decision>& decisions);

  SchedulerOptions options_;
  SlotPool slots_;
  std::vector<Job> jobs_;
  std::map<std::string, std::size_t> index_;
  std::vector<Gang> gangs_;
  std::vector<Group> groups_;
  std::map<int, Size> sizes_;
  std::multimap<double, std::size_t> delayed_;
  std::map<JobState, std::size_t> counts_;
  std::vector<std::string> newly_ended_;
  double decided_ = -1;  // When `decide` was called last.
  bool stopped_ = false;
};

}  // namespace assay
