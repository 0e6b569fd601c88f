#include "runner/plan.h"
#include "runner/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace assay {
namespace {

using nlohmann::json;

/// Which jobs more than one cell needs, itself or through others: by place in the plan.
std::vector<bool> needed_by_several(
    const Plan& plan, const std::unordered_map<std::string_view, std::size_t>& places) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::vector<std::size_t> cell(plan.jobs.size(), kNone);  // One that needs the job.
  std::vector<bool> several(plan.jobs.size(), false);
  const auto need = [&](std::size_t job, std::size_t by) {
    if (cell[job] == kNone) cell[job] = by;
    if (cell[job] != by) several[job] = true;
  };
  for (std::size_t c = 0; c < plan.cells.size(); ++c) need(places.at(plan.cells[c].job), c);
  // Jobs come after what they need: what is known of a job is whole when its turn comes.
  for (std::size_t job = plan.jobs.size(); job-- > 0;) {
    if (cell[job] == kNone) continue;
    for (const std::string& needed : plan.jobs[job].dependencies) {
      const std::size_t place = places.at(needed);
      need(place, cell[job]);
      if (several[job]) several[place] = true;
    }
  }
  return several;
}

std::unordered_map<std::string_view, std::size_t> places_of(const Plan& plan) {
  std::unordered_map<std::string_view, std::size_t> places;
  places.reserve(plan.jobs.size());
  for (std::size_t i = 0; i < plan.jobs.size(); ++i) places.emplace(plan.jobs[i].id, i);
  return places;
}

constexpr std::string_view kUnknown = "unknown before the first measurement";

}  // namespace

PlanSummary summarise(const Study& study, const Plan& plan, const PlanHistory& history) {
  PlanSummary summary{.study = study.name,
                      .kinds = {},
                      .cells = static_cast<std::int64_t>(plan.cells.size()),
                      .notes = plan.notes};
  const auto places = places_of(plan);
  const std::vector<bool> several = needed_by_several(plan, places);
  std::vector<bool> elsewhere(plan.jobs.size(), false);
  for (const auto& [other, jobs] : history.others) {
    for (const std::string& job : jobs) {
      const auto place = places.find(job);
      if (place == places.end()) continue;
      elsewhere[place->second] = true;
      ++summary.others[other];
    }
  }
  for (const JobKind kind : kJobKinds) {
    PlanSummary::Kind sum{.kind = kind, .remaining_seconds = 0.0};
    for (std::size_t i = 0; i < plan.jobs.size(); ++i) {
      const Job& job = plan.jobs[i];
      if (job.kind != kind) continue;
      ++sum.jobs;
      if (several[i]) ++sum.shared;
      if (elsewhere[i]) ++sum.elsewhere;
      if (history.done.contains(job.id)) {
        ++sum.done;
        continue;
      }
      sum.remaining_bytes += job.bytes;
      const auto seconds = expected_seconds(job, history.seconds_per_work);
      if (!seconds) {
        sum.remaining_seconds.reset();
      } else if (sum.remaining_seconds) {
        *sum.remaining_seconds += *seconds;
      }
    }
    if (sum.jobs > 0) summary.kinds.push_back(sum);
  }
  return summary;
}

std::string to_text(const PlanSummary& summary, std::int64_t slots) {
  std::string text = fmt::format("study {}: {} cells\n", summary.study, summary.cells);
  text += fmt::format("{:<10}{:>8}{:>8}{:>8}{:>8}{:>8}  {:>10}  {}\n", "kind", "jobs", "done",
                      "to do", "shared", "others", "disk", "time to do");
  double total = 0, bytes = 0;
  bool known = true;
  std::int64_t to_do = 0;
  for (const PlanSummary::Kind& kind : summary.kinds) {
    const auto& seconds = kind.remaining_seconds;
    to_do += kind.jobs - kind.done;
    total += seconds.value_or(0);
    known = known && seconds.has_value();
    bytes += kind.remaining_bytes;
    text += fmt::format("{:<10}{:>8}{:>8}{:>8}{:>8}{:>8}  {:>10}  {}\n", to_string(kind.kind),
                        kind.jobs, kind.done, kind.jobs - kind.done, kind.shared, kind.elsewhere,
                        size_text(kind.remaining_bytes),
                        seconds ? duration_text(*seconds) : std::string(kUnknown));
  }
  if (to_do == 0) {
    text += "nothing to do: everything is done\n";
  } else if (known) {
    text +=
        fmt::format("expected: {} with {} gang{}, as measured in this workspace\n",
                    duration_text(total / static_cast<double>(std::max<std::int64_t>(slots, 1))),
                    slots, slots == 1 ? "" : "s");
  } else {
    text += fmt::format("expected time: {}\n", kUnknown);
  }
  for (const auto& [other, jobs] : summary.others) {
    text += fmt::format("shared with study {}: {} job{}\n", other, jobs, jobs == 1 ? "" : "s");
  }
  if (to_do > 0) text += fmt::format("disk: about {} more\n", size_text(bytes));
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
                     {"elsewhere", kind.elsewhere},
                     {"remaining_bytes", kind.remaining_bytes},
                     {"remaining_seconds",
                      kind.remaining_seconds ? json(*kind.remaining_seconds) : json(nullptr)}});
  }
  return {{"study", summary.study},
          {"cells", summary.cells},
          {"kinds", std::move(kinds)},
          {"others", summary.others},
          {"notes", summary.notes}};
}

}  // namespace assay
