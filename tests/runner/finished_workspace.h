#pragma once

#include "core/digest.h"
#include "core/file.h"
#include "runner/attempt_file.h"
#include "runner/plan.h"
#include "runner/workspace.h"
#include "tests/runner/in_memory_inputs.h"
#include "tests/support/temporary_folder.h"

namespace assay {

/// A workspace in which a study has run, without the programs that ran it.
class FinishedWorkspace {
 public:
  static Study study(const std::string& name, const std::string& values) {
    return parse_study("schema = 1\nname = '" + name +
                           "'\nbackbone = 'assay-tiny'\ntrain_on = 'synth-a'\n"
                           "targets = ['synth-b', 'elpv']\n[[sweep]]\nmethod = 'faprompt'\n"
                           "grid = { K = " +
                           values + " }\n",
                       "s.toml");
  }

  Plan run(const Study& wanted) {
    Plan plan = make_plan(wanted, inputs_);
    Store store(workspace_.store());
    store.record_study({wanted.name, "s.toml", wanted.text}, job_records(plan), plan.cells);
    for (const Job& job : plan.jobs) {
      if (!store.result(job.id)) finish(job, store);
    }
    return plan;
  }

  void finish(const Job& job, Store& store) {
    const std::filesystem::path folder = workspace_.job(job.id);
    nlohmann::json result = {{"id", job.id},
                             {"kind", to_string(job.kind)},
                             {"spec", job.spec()},
                             {"plan", job.hints()["plan"]}};
    if (job.kind == JobKind::kTrain) {
      write_file_atomically(folder / "checkpoint.safetensors", "parameters of " + job.id);
      result["checkpoint_sha256"] = sha256("parameters of " + job.id);
    }
    if (job.kind == JobKind::kEvaluate) {
      result["metrics"] = {to_json(MetricRow{.dataset = job.spec()["part"]["dataset"],
                                             .category = "mean",
                                             .level = "image",
                                             .metric = "auroc",
                                             .value = 0.75,
                                             .undefined_because = {},
                                             .num_normal = {},
                                             .num_anomalous = {},
                                             .num_regions = {},
                                             .num_categories = 1})};
    }
    Attempt attempt = store.begin_attempt({.job = job.id,
                                           .host = "here",
                                           .cpu_capability = "AVX2",
                                           .environment = nlohmann::json{{"a", 1}}},
                                          folder);
    const JobResult recorded = JobResult::of(result);
    write_file_atomically(workspace_.result(job.id), result.dump());
    attempt = store.finish_attempt(attempt, {.outcome = "done", .seconds = 2}, &recorded);
    AttemptsFile(workspace_).append(attempt);
    write_file_atomically(features_of(job) / "test.0-of-1.h5", "features");
  }

  /// The files as builds laid them out that kept each job's in its folder.
  void lay_out_as_before(const Plan& plan) {
    const Attempts attempts = read_attempts(workspace_);
    for (const Job& job : plan.jobs) {
      const std::filesystem::path folder = workspace_.job(job.id);
      const nlohmann::json run = {{"id", job.id}, {"attempt", 1}, {"hints", job.hints()}};
      write_file_atomically(folder / "spec.json", job.spec_text.text());
      write_file_atomically(folder / "attempt-1/run.json", run.dump());
      write_file_atomically(folder / "attempt-1/exit.json",
                            to_json(attempts.at(job.id).at(1)).dump());
      std::filesystem::rename(workspace_.result(job.id), workspace_.former_result(job.id));
    }
    std::filesystem::remove(workspace_.attempts());
  }

  /// Of what it reads or, if it encodes, makes.
  [[nodiscard]] std::filesystem::path features_of(const Job& job) const {
    const nlohmann::json spec = job.spec();
    const nlohmann::json part = spec.contains("part") ? spec["part"] : spec["parts"][0];
    return workspace_.features() / sha256(canonical_json(spec["encoder"])) /
           (part["dataset"].get<std::string>() + "-" +
            part["manifest_digest"].get<std::string>().substr(0, 16));
  }

  TemporaryFolder folder_;
  Workspace workspace_{folder_ / "w"};
  InMemory inputs_;
};

}  // namespace assay
