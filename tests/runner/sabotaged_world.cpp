#include "tests/runner/sabotaged_world.h"

namespace assay {

double SabotagedWorld::now() {
  return sabotaged(Sabotage::kClockOfTheDay) ? machine().clock_of_the_day() : SimulatedWorld::now();
}

void SabotagedWorld::start_gang(int gang, const std::vector<Slot>& slots) {
  std::vector<Slot> given = slots;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (sabotaged(Sabotage::kCoreGivenTwice)) given[i].core = static_cast<int>(i);
    if (sabotaged(Sabotage::kGpuGivenTwice) && !given[i].device.empty()) {
      given[i].device = fmt::format("GPU-{}", i);
    }
  }
  SimulatedWorld::start_gang(gang, given);
}

std::optional<std::vector<GangEvent>> SabotagedWorld::receive(int gang) {
  auto events = SimulatedWorld::receive(gang);
  if (!events || !sabotaged(Sabotage::kFailureTriedAgain)) return events;
  for (GangEvent& event : *events) {
    if (event.kind == GangEvent::Kind::kFailed) event.kind = GangEvent::Kind::kInterrupted;
  }
  return events;
}

std::vector<RankBeat> SabotagedWorld::beats(int gang) {
  std::vector<RankBeat> beats = SimulatedWorld::beats(gang);
  if (!sabotaged(Sabotage::kHangsIgnored)) return beats;
  for (RankBeat& beat : beats) beat.ticks = static_cast<std::uint64_t>(1000 * now());
  return beats;
}

void SabotagedWorld::end_strays() {
  if (!sabotaged(Sabotage::kStraysLeft)) SimulatedWorld::end_strays();
}

std::unordered_set<std::string> SabotagedWorld::done_jobs() {
  if (sabotaged(Sabotage::kDoneForgotten)) return {};
  return SimulatedWorld::done_jobs();
}

std::vector<Attempt> SabotagedWorld::open_attempts() {
  std::vector<Attempt> open = SimulatedWorld::open_attempts();
  for (const Attempt& attempt : open) last_attempts_[attempt.job] = attempt.number;
  return open;
}

Attempt SabotagedWorld::begin_attempt(int gang, const std::string& job) {
  Attempt attempt = SimulatedWorld::begin_attempt(gang, job);
  last_attempts_[job] = attempt.number;
  return attempt;
}

void SabotagedWorld::finish_attempt(const Attempt& attempt,
                                    const AttemptEnd& end,
                                    const JobResult* result) {
  if (sabotaged(Sabotage::kEndNotRecorded) && result == nullptr) return;
  SimulatedWorld::finish_attempt(attempt, end, result);
}

std::optional<JobResult> SabotagedWorld::complete_result(const std::string& job,
                                                         ResultCheck check) {
  if (sabotaged(Sabotage::kDoneForgotten) && check == ResultCheck::kDigests) return std::nullopt;
  auto result = SimulatedWorld::complete_result(job, check);
  const bool unseen = sabotaged(Sabotage::kResultNotVerified) && !result;
  if (unseen) result = JobResult{.result = {{"value", "0"}}, .metrics = {}};
  if (result && (unseen || sabotaged(Sabotage::kDeadAttemptBelieved))) {
    result->result["attempt"] = last_attempts_[job];
  }
  return result;
}

void sabotage_plan(Sabotage how, std::vector<PlannedJob>& jobs, CoordinatorOptions& options) {
  if (how == Sabotage::kEndlessRetries) options.scheduler.retries = 1 << 30;
  if (how != Sabotage::kNeedsIgnored) return;
  for (PlannedJob& job : jobs) job.schedule.needs.clear();
}

}  // namespace assay
