#include "runner/plan.h"

#include <algorithm>
#include <stdexcept>

namespace assay {

nlohmann::json Job::hints() const {
  nlohmann::json all = *shared_hints;
  if (!continues.empty()) all["continues"] = continues;
  if (keeps_state) all["keeps_state"] = true;
  all["plan"] = {{"cost_class", cost_class}, {"work", work}, {"dependencies", dependencies}};
  return all;
}

const Job& Plan::job(const std::string& id) const {
  const auto found = std::ranges::find(jobs, id, &Job::id);
  if (found == jobs.end()) throw std::out_of_range("job " + id + " is not in the plan");
  return *found;
}

std::vector<JobRecord> job_records(const Plan& plan) {
  std::vector<JobRecord> records;
  records.reserve(plan.jobs.size());
  for (const Job& job : plan.jobs) {
    records.push_back({.id = job.id,
                       .kind = std::string(to_string(job.kind)),
                       .spec = job.spec_text.text(),
                       .dependencies = job.dependencies,
                       .cost_class = job.cost_class,
                       .work = job.work});
  }
  return records;
}

std::optional<double> expected_seconds(const Job& job,
                                       const std::map<std::string, double>& seconds_per_work) {
  const auto rate = seconds_per_work.find(job.cost_class);
  if (rate == seconds_per_work.end()) return std::nullopt;
  return rate->second * job.work;
}

}  // namespace assay
