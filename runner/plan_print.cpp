#include "runner/plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace assay {
namespace {

using nlohmann::json;

/// How many cells need each job, itself or through others.
std::map<std::string, std::int64_t> count_cells(const Plan& plan) {
  std::map<std::string, const Job*> jobs;
  for (const Job& job : plan.jobs) jobs[job.id] = &job;
  std::map<std::string, std::int64_t> counts;
  for (const StudyCell& cell : plan.cells) {
    std::set<std::string> needed;
    std::vector<std::string> open = {cell.job};
    while (!open.empty()) {
      const std::string id = open.back();
      open.pop_back();
      if (!needed.insert(id).second) continue;
      const std::vector<std::string>& more = jobs.at(id)->dependencies;
      open.insert(open.end(), more.begin(), more.end());
    }
    for (const std::string& id : needed) ++counts[id];
  }
  return counts;
}

std::string duration(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

constexpr std::string_view kUnknown = "unknown before the first measurement";

}  // namespace

PlanSummary summarise(const Study& study,
                      const Plan& plan,
                      const std::set<std::string>& done,
                      const std::set<std::string>& needed_elsewhere,
                      const std::map<std::string, double>& seconds_per_work) {
  PlanSummary summary{.study = study.name,
                      .kinds = {},
                      .cells = static_cast<std::int64_t>(plan.cells.size()),
                      .notes = plan.notes};
  const std::map<std::string, std::int64_t> cells = count_cells(plan);
  for (const JobKind kind : {JobKind::kEncode, JobKind::kTrain, JobKind::kEvaluate}) {
    PlanSummary::Kind sum{.kind = kind, .remaining_seconds = 0.0};
    for (const Job& job : plan.jobs) {
      if (job.kind != kind) continue;
      ++sum.jobs;
      const auto needed = cells.find(job.id);
      const bool by_many = needed != cells.end() && needed->second > 1;
      if (by_many || needed_elsewhere.contains(job.id)) ++sum.shared;
      if (done.contains(job.id)) {
        ++sum.done;
        continue;
      }
      const auto cost = seconds_per_work.find(job.cost_class);
      if (cost == seconds_per_work.end()) {
        sum.remaining_seconds.reset();
      } else if (sum.remaining_seconds) {
        *sum.remaining_seconds += cost->second * job.work;
      }
    }
    if (sum.jobs > 0) summary.kinds.push_back(sum);
  }
  return summary;
}

std::string to_text(const PlanSummary& summary, std::int64_t slots) {
  std::string text = fmt::format("study {}: {} cells\n", summary.study, summary.cells);
  text += fmt::format("{:<10}{:>8}{:>8}{:>8}{:>8}  {}\n", "kind", "jobs", "done", "to do", "shared",
                      "time to do");
  double total = 0;
  bool known = true;
  std::int64_t to_do = 0;
  for (const PlanSummary::Kind& kind : summary.kinds) {
    const auto& seconds = kind.remaining_seconds;
    to_do += kind.jobs - kind.done;
    total += seconds.value_or(0);
    known = known && seconds.has_value();
    text += fmt::format("{:<10}{:>8}{:>8}{:>8}{:>8}  {}\n", to_string(kind.kind), kind.jobs,
                        kind.done, kind.jobs - kind.done, kind.shared,
                        seconds ? duration(*seconds) : std::string(kUnknown));
  }
  if (to_do == 0) {
    text += "nothing to do: everything is done\n";
  } else if (known) {
    text += fmt::format("expected: {} with {} gang{}, as measured in this workspace\n",
                        duration(total / static_cast<double>(std::max<std::int64_t>(slots, 1))),
                        slots, slots == 1 ? "" : "s");
  } else {
    text += fmt::format("expected time: {}\n", kUnknown);
  }
  for (const std::string& note : summary.notes) text += "note: " + note + "\n";
  return text;
}

json to_json(const PlanSummary& summary) {
  json kinds = json::array();
  for (const PlanSummary::Kind& kind : summary.kinds) {
    kinds.push_back({{"kind", to_string(kind.kind)},
                     {"jobs", kind.jobs},
                     {"done", kind.done},
                     {"shared", kind.shared},
                     {"remaining_seconds",
                      kind.remaining_seconds ? json(*kind.remaining_seconds) : json(nullptr)}});
  }
  return {{"study", summary.study},
          {"cells", summary.cells},
          {"kinds", std::move(kinds)},
          {"notes", summary.notes}};
}

}  // namespace assay
