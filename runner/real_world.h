#pragma once

#include "runner/attempt_file.h"
#include "runner/gang.h"
#include "runner/interrupts.h"
#include "runner/job_run.h"
#include "runner/workspace.h"
#include "runner/world.h"

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>

namespace assay {

struct RealWorldOptions {
  Workspace workspace;
  std::filesystem::path worker;  ///< The program `assay-worker`.
  Launcher launcher;
  std::optional<PoolShape> pool;  ///< Where the ranks are there already.
  /// Begun when the workspace was leased: ten thousand jobs take 15 ms, and a run that finds
  /// nothing to do waits for no other thing as long.
  std::shared_future<ResultList> results;
};

/// The world of a coordinator that really runs: processes, files, signals, the store, of which it
/// is the only writer. Every gang is ended with it.
class RealWorld final : public World {
 public:
  /// `describe` says where a job finds its files; `on_state` is called at least every second.
  RealWorld(const RealWorldOptions& options,
            std::function<JobRun(const std::string& job)> describe,
            Store& store,
            Interrupts& interrupts,
            ProgressView& view,
            std::function<void(const RunState&)> on_state);
  ~RealWorld() override;
  RealWorld(const RealWorld&) = delete;
  RealWorld& operator=(const RealWorld&) = delete;

  [[nodiscard]] double now() override;
  void wait(double seconds) override;
  /// Ranks that were there already and are gone end the run at once, as a second signal does.
  [[nodiscard]] int interrupts() override { return pool_lost_ ? 2 : interrupts_.count(); }
  [[nodiscard]] std::vector<CancelRequest> cancel_requests() override;
  void say(const std::string& line, bool important) override { view_.line(line, important); }
  void show(const RunState& state) override;

  void start_gang(int gang, const std::vector<Slot>& slots) override;
  void run_job(int gang, const Attempt& attempt) override;
  void tell(int gang, Order order, const std::string& job) override;
  [[nodiscard]] std::optional<std::vector<GangEvent>> receive(int gang) override;
  [[nodiscard]] GangEnd end_gang(int gang, double grace_seconds) override;
  [[nodiscard]] std::vector<RankBeat> beats(int gang) override;
  void end_strays() override;

  [[nodiscard]] std::unordered_set<std::string> done_jobs() override { return store_.done_jobs(); }
  [[nodiscard]] std::vector<std::string> failed_jobs() override { return store_.failed_jobs(); }
  [[nodiscard]] std::map<std::string, double> seconds_per_work() override {
    return store_.seconds_per_work();
  }
  [[nodiscard]] std::vector<Attempt> open_attempts() override { return store_.open_attempts(); }
  [[nodiscard]] Attempt begin_attempt(int gang, const std::string& job) override;
  void finish_attempt(const Attempt& attempt,
                      const AttemptEnd& end,
                      const JobResult* result) override;
  void adopt(const std::string& job, const JobResult& result) override;
  void forget(const std::string& job) override { store_.forget_result(job); }
  void reset_failed(const std::string& job) override { store_.reset_failed(job); }

  [[nodiscard]] bool has_result(const std::string& job) override;
  [[nodiscard]] std::optional<JobResult> complete_result(const std::string& job,
                                                         ResultCheck check) override;

  /// The store has all that happened; `wait` sees to that a moment later than it did.
  void save();

 private:
  struct RunningGang {
    std::unique_ptr<Gang> gang;
    AttemptStart facts;  // From its event `ready`, less the job.
    bool told_to_end = false;
    std::size_t jobs_sent = 0;
  };

  /// Done, for the store as soon as the gangs have their next jobs.
  struct DoneAttempt {
    Attempt attempt;
    AttemptEnd end;
    JobResult result;
  };

  void send(int gang, const nlohmann::json& message);
  void gather();
  void record_done();
  [[nodiscard]] std::filesystem::path gang_folder(int gang) const {
    return options_.workspace.gangs() / std::to_string(gang);
  }
  void start_pool();

  RealWorldOptions options_;
  std::function<JobRun(const std::string&)> describe_;
  Store& store_;
  Interrupts& interrupts_;
  ProgressView& view_;
  std::function<void(const RunState&)> on_state_;
  std::optional<RankPool> pool_;  // Outlives its gangs.
  bool pool_lost_ = false;
  AttemptsFile attempts_;
  std::vector<Attempt> begun_;  // That have not ended; without a key where the store lacks them.
  std::vector<DoneAttempt> done_;
  std::optional<double> gathered_;  // When the first of what the store has not saved was written.
  /// As the run has found them: listed while the store is read.
  std::map<int, RunningGang> gangs_;
};

}  // namespace assay
