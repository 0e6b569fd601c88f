#pragma once

#include "tests/runner/simulated_machine.h"

namespace assay {

/// One life of a coordinator on a simulated machine: what it does and sees. Checks the invariants
/// that a single call can break, and may end that life at any call that changes something.
class SimulatedWorld : public World {
 public:
  SimulatedWorld(SimulatedMachine& machine, int life);

  /// Calls that changed anything at all.
  [[nodiscard]] int changes() const { return changes_; }

  [[nodiscard]] double now() override;
  void wait(double seconds) override;
  [[nodiscard]] int interrupts() override { return interrupts_; }
  [[nodiscard]] std::vector<CancelRequest> cancel_requests() override;
  void say(const std::string& line, bool important) override;
  void show(const RunState& state) override;

  void start_gang(int gang, const std::vector<Slot>& slots) override;
  void run_job(int gang, const Attempt& attempt) override;
  void tell(int gang, Order order, const std::string& job) override;
  [[nodiscard]] std::optional<std::vector<GangEvent>> receive(int gang) override;
  [[nodiscard]] GangEnd end_gang(int gang, double grace_seconds) override;
  [[nodiscard]] std::vector<RankBeat> beats(int gang) override;
  void end_strays() override;

  [[nodiscard]] std::unordered_set<std::string> done_jobs() override;
  [[nodiscard]] std::vector<std::string> failed_jobs() override;
  [[nodiscard]] std::map<std::string, double> seconds_per_work() override { return {}; }
  [[nodiscard]] std::vector<Attempt> open_attempts() override;
  [[nodiscard]] Attempt begin_attempt(int gang, const std::string& job) override;
  void finish_attempt(const Attempt& attempt,
                      const AttemptEnd& end,
                      const JobResult* result) override;
  void adopt(const std::string& job, const JobResult& result) override;
  void forget(const std::string& job) override;
  void reset_failed(const std::string& job) override;

  [[nodiscard]] bool has_result(const std::string& job) override;
  [[nodiscard]] std::optional<JobResult> complete_result(const std::string& job,
                                                         ResultCheck check) override;

 protected:
  [[nodiscard]] SimulatedMachine& machine() { return machine_; }
  [[nodiscard]] bool sabotaged(Sabotage how) const { return machine_.sabotage == how; }

 private:
  void may_die();
  void trace(const std::string& line) const;
  void change(const std::function<void()>& what);
  void record(const std::string& job, const JobResult& result);
  [[nodiscard]] SimulatedGang& gang(int number) { return *gangs_.at(number); }

  SimulatedMachine& machine_;
  int life_;
  double started_;
  int interrupts_ = 0;
  int changes_ = 0;
  std::map<int, SimulatedGang*> gangs_;
};

}  // namespace assay
