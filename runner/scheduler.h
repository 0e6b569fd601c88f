#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace assay {

/// One job as the scheduler sees it.
struct ScheduledJob {
  std::string id;
  std::vector<std::string> needs;   ///< Jobs to be done before; ids outside the list are done.
  std::vector<std::string> inputs;  ///< What a gang keeps loaded: a backbone, feature sets.
};

struct SchedulerOptions {
  int gangs = 1;
  int retries = 3;                 ///< Of a job whose gang died under it.
  double first_delay_seconds = 1;  ///< Before the first retry; doubled each time.
  double max_delay_seconds = 60;
  int start_attempts = 3;  ///< Deaths in a row before a gang was ready: then it is given up.
};

enum class Action {
  kStartGang,
  kSendJob,
  kEndGang,  ///< Closes the gang's input: it ends by itself.
};

struct Decision {
  Action action;
  int gang;
  std::string job;  ///< Of kSendJob.
  bool operator==(const Decision&) const = default;
};

enum class JobState { kWaiting, kRunning, kDone, kFailed };

/// Decides which gang runs what next, without doing anything: a state machine on events and a
/// clock that the caller passes in (seconds, never going back).
///
/// - A job starts when all it needs is done; among those that could, the one whose inputs the gang
///   holds, then the first of the plan.
/// - A job that fails by itself fails for good, and so do those that need it, by name; all others
///   go on.
/// - A job whose gang died is tried again after a growing delay, a bounded number of times.
/// - A gang that dies before it is ready, several times in a row, is given up; without any gang all
///   waiting jobs fail.
class Scheduler {
 public:
  /// Throws std::invalid_argument where two jobs have one id or jobs need each other in a circle.
  Scheduler(std::vector<ScheduledJob> jobs, const SchedulerOptions& options);

  /// What to do now. The caller does all of it and reports what happens.
  [[nodiscard]] std::vector<Decision> decide(double now);
  /// When to call `decide` again though nothing happened; nothing where only events matter.
  [[nodiscard]] std::optional<double> next_time() const;

  // What happened.
  void gang_ready(int gang);
  void job_done(int gang);
  /// `error` is the job's own (NaN, an unreadable image): trying again would not help.
  void job_failed(int gang, const std::string& error);
  /// The running job stopped because it was told to: it waits again.
  void job_interrupted(int gang);
  /// Every process of the gang is verified dead. `why` for people.
  void gang_ended(int gang, const std::string& why, double now);
  /// Starts nothing more.
  void stop();

  /// No job runs and none will, and every gang has ended.
  [[nodiscard]] bool finished() const;
  [[nodiscard]] JobState state(const std::string& job) const;
  /// The error of a failed job.
  [[nodiscard]] const std::string& error(const std::string& job) const;
  [[nodiscard]] std::size_t count(JobState state) const;
  /// The job that the gang runs, if any.
  [[nodiscard]] std::optional<std::string> running(int gang) const;
  /// Jobs that became failed since the last call, in order: with their dependents.
  [[nodiscard]] std::vector<std::string> take_failed();

 private:
  struct Job {
    ScheduledJob spec;
    JobState state = JobState::kWaiting;
    std::size_t group = 0;    // Jobs with equal inputs.
    std::size_t missing = 0;  // Needed jobs that are not done.
    std::vector<std::size_t> dependents;
    int deaths = 0;
    std::string error;
  };
  enum class GangState { kAbsent, kStarting, kIdle, kRunning, kEnding, kBroken };
  struct Gang {
    GangState state = GangState::kAbsent;
    std::optional<std::size_t> job;
    std::vector<std::string> held;  // Inputs of its last job.
    int start_failures = 0;
    double not_before = 0;
  };

  void set_state(Job& job, JobState state);
  void make_ready(std::size_t index);
  void fail(std::size_t index, const std::string& error);
  void retry_or_fail(std::size_t index, const std::string& why, double now);
  void fail_all_waiting(const std::string& why);
  [[nodiscard]] std::optional<std::size_t> pick(const Gang& gang);
  [[nodiscard]] std::size_t take_running(int gang);
  [[nodiscard]] double delay(int failures) const;

  SchedulerOptions options_;
  std::vector<Job> jobs_;
  std::map<std::string, std::size_t> index_;
  std::vector<Gang> gangs_;
  std::vector<std::vector<std::string>> groups_;
  std::vector<std::set<std::size_t>> ready_;  // By group, jobs in plan order.
  std::size_t num_ready_ = 0;
  std::multimap<double, std::size_t> delayed_;
  std::map<JobState, std::size_t> counts_;
  std::vector<std::string> newly_failed_;
  bool stopped_ = false;
};

}  // namespace assay
