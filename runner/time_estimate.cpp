#include "runner/time_estimate.h"

#include <algorithm>

namespace assay {

void TimeEstimate::add(const std::string& cost_class, double work) {
  Waiting& waiting = waiting_[cost_class];
  ++waiting.jobs;
  waiting.work += work;
}

void TimeEstimate::remove(const std::string& cost_class, double work) {
  Waiting& waiting = waiting_[cost_class];
  --waiting.jobs;
  waiting.work -= work;
}

void TimeEstimate::measure(const std::string& cost_class, double work, double seconds) {
  if (work <= 0) return;
  Measured& measured = measured_[cost_class];
  measured.work += work;
  measured.seconds += seconds;
  rates_[cost_class] = measured.seconds / measured.work;
}

std::optional<double> TimeEstimate::seconds(const std::string& cost_class, double work) const {
  const auto rate = rates_.find(cost_class);
  return rate == rates_.end() ? std::nullopt : std::optional(rate->second * work);
}

std::optional<double> TimeEstimate::seconds_left(const std::vector<RunningJob>& running,
                                                 std::size_t gangs) const {
  std::map<std::string, double> rates = rates_;
  double left_of_running = 0;
  for (const RunningJob& job : running) {
    if (job.fraction > 0.02 && job.work > 0) {
      rates.try_emplace(job.cost_class, job.seconds / job.fraction / job.work);
      left_of_running += job.seconds / job.fraction * (1 - job.fraction);
    } else if (const auto rate = rates.find(job.cost_class); rate != rates.end()) {
      left_of_running += std::max(0.0, rate->second * job.work - job.seconds);
    }
  }
  if (rates.empty()) return std::nullopt;
  double known = 0, known_jobs = 0, unknown_jobs = 0;
  for (const auto& [cost_class, waiting] : waiting_) {
    if (const auto rate = rates.find(cost_class); rate != rates.end()) {
      known += rate->second * waiting.work;
      known_jobs += waiting.jobs;
    } else {
      unknown_jobs += waiting.jobs;
    }
  }
  const double per_unknown = known_jobs > 0 ? known / known_jobs : left_of_running;
  return (known + unknown_jobs * per_unknown) /
             static_cast<double>(std::max<std::size_t>(gangs, 1)) +
         left_of_running;
}

}  // namespace assay
