#include "results/table.h"
#include "runner/plan.h"

#include <fmt/format.h>

#include <string_view>
#include <unordered_map>

namespace assay {
namespace {

/// `anomalyclip:paper cap.K=5`, with the epoch of a curve.
std::string variant_of(const StudyCell& cell) {
  std::string text =
      TableRow{.method = cell.method, .preset = cell.preset, .params = cell.params}.label();
  if (cell.epoch) text += fmt::format(" epoch {}", *cell.epoch);
  return text;
}

/// Of a job that no cell names: a training or an evaluation by hand, an encoding, a profile.
std::string own_label(const JobRecord& job) {
  const nlohmann::json spec = nlohmann::json::parse(job.spec);
  const auto named = [](const nlohmann::json& part) {
    return fmt::format("{} ({})", part.at("dataset").get<std::string>(),
                       part.at("split").get<std::string>());
  };
  std::string text = job.kind;
  if (spec.contains("method")) text += " " + spec["method"].get<std::string>();
  for (const char* key : {"phase", "form"}) {
    if (spec.contains(key)) text += " " + spec[key].get<std::string>();
  }
  if (spec.contains("seed")) text += " seed " + spec["seed"].dump();
  if (spec.contains("part")) return fmt::format("{} {}", text, named(spec["part"]));
  for (const nlohmann::json& part : spec.value("parts", nlohmann::json::array())) {
    text += " " + named(part);
  }
  return text;
}

}  // namespace

std::map<std::string, std::string> job_labels(const Plan& plan) {
  return job_labels(job_records(plan), plan.cells);
}

std::map<std::string, std::string> job_labels(const std::vector<JobRecord>& jobs,
                                              const std::vector<StudyCell>& cells) {
  std::map<std::string, std::string> labels;
  std::unordered_map<std::string_view, const JobRecord*> by_id;
  for (const JobRecord& job : jobs) by_id[job.id] = &job;
  for (const StudyCell& cell : cells) {  // The first cell of a job names it.
    const std::string variant = variant_of(cell);
    labels.try_emplace(
        cell.job, fmt::format("evaluate {}{} on {}", variant,
                              cell.seed ? fmt::format(" seed {}", *cell.seed) : "", cell.dataset));
    const auto judged = by_id.find(cell.job);
    if (judged == by_id.end()) continue;
    for (const std::string& needed : judged->second->dependencies) {
      const auto job = by_id.find(needed);
      if (job == by_id.end() || job->second->kind != "train" || labels.contains(needed)) continue;
      const auto seed = nlohmann::json::parse(job->second->spec).at("seed").get<std::int64_t>();
      labels[needed] = fmt::format("train {} seed {} on {}", variant, seed, cell.train_dataset);
    }
  }
  for (const JobRecord& job : jobs) {
    if (!labels.contains(job.id)) labels[job.id] = own_label(job);
  }
  return labels;
}

}  // namespace assay
