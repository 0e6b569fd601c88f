#pragma once

#include "runner/coordinator.h"
#include "tests/runner/simulated_world.h"

namespace assay {

/// What scheduler and coordinator would decide with a defect, of those that `Sabotage` names:
/// stands between them and the simulated world and alters what they order and what they take for
/// true.
class SabotagedWorld final : public SimulatedWorld {
 public:
  using SimulatedWorld::SimulatedWorld;

  [[nodiscard]] double now() override;
  void start_gang(int gang, const std::vector<Slot>& slots) override;
  [[nodiscard]] std::optional<std::vector<GangEvent>> receive(int gang) override;
  [[nodiscard]] std::vector<RankBeat> beats(int gang) override;
  void end_strays() override;
  [[nodiscard]] std::unordered_set<std::string> done_jobs() override;
  [[nodiscard]] std::vector<Attempt> open_attempts() override;
  [[nodiscard]] Attempt begin_attempt(int gang, const std::string& job) override;
  void finish_attempt(const Attempt& attempt,
                      const AttemptEnd& end,
                      const JobResult* result) override;
  [[nodiscard]] std::optional<JobResult> complete_result(const std::string& job,
                                                         ResultCheck check) override;

 private:
  std::map<std::string, std::int64_t> last_attempts_;  // That this coordinator knows of.
};

/// The same for what a coordinator is given.
void sabotage_plan(Sabotage how, std::vector<PlannedJob>& jobs, CoordinatorOptions& options);

}  // namespace assay
