#include "results/table.h"
#include "runner/plan.h"

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

std::string encode_label(const Job& job) {
  const nlohmann::json part = job.spec()["part"];
  return fmt::format("encode {} ({})", part["dataset"].get<std::string>(),
                     part["split"].get<std::string>());
}

}  // namespace

std::map<std::string, std::string> job_labels(const Plan& plan) {
  std::map<std::string, std::string> labels;
  std::unordered_map<std::string, const Job*> jobs;
  for (const Job& job : plan.jobs) {
    labels[job.id] = job.kind == JobKind::kEncode ? encode_label(job) : to_string(job.kind);
    jobs[job.id] = &job;
  }
  for (const StudyCell& cell : plan.cells) {
    const std::string variant = variant_of(cell);
    std::string& label = labels[cell.job];
    if (label.find(' ') == std::string::npos) {  // Else named by the study's first cell of the job.
      label = fmt::format("evaluate {}{} on {}", variant,
                          cell.seed ? fmt::format(" seed {}", *cell.seed) : "", cell.dataset);
    }
    for (const std::string& needed : jobs.at(cell.job)->dependencies) {
      const Job& job = *jobs.at(needed);
      if (job.kind != JobKind::kTrain || labels[needed].find(' ') != std::string::npos) continue;
      labels[needed] = fmt::format("train {} seed {} on {}", variant,
                                   job.spec()["seed"].get<std::int64_t>(), cell.train_dataset);
    }
  }
  return labels;
}

}  // namespace assay
