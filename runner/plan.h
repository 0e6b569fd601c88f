#pragma once

#include "datasets/manifest.h"
#include "registry/backbone_catalogue.h"
#include "results/store.h"
#include "runner/job_spec.h"
#include "runner/study.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace assay {

/// A job of a plan. `spec` is its identity; `hints` is what a worker needs besides and what changes
/// no number: for train and evaluate `switches` (all of them, as the method resolves them) and
/// `preset`. Paths are the runner's: they join when the job is sent.
struct Job {
  std::string id;
  JobKind kind = JobKind::kEncode;
  nlohmann::json spec;
  nlohmann::json hints = nlohmann::json::object();
  std::vector<std::string> dependencies;  ///< Ids.
  std::string cost_class;
  double work = 0;  ///< Images; in a train job, times epochs.
};

/// A study as a graph of jobs.
struct Plan {
  std::vector<Job> jobs;           ///< Each once, after those it depends on.
  std::vector<StudyCell> cells;    ///< Rows times data sets, in the order of the study.
  std::vector<std::string> notes;  ///< What a person should know: overlap, sets without masks.

  [[nodiscard]] const Job& job(const std::string& id) const;
};

/// What a plan needs to know of files.
class PlanInputs {
 public:
  virtual ~PlanInputs() = default;
  /// A split (`train` or `test`) with digests; without samples where the set has no such split.
  [[nodiscard]] virtual const Manifest& manifest(const std::string& dataset,
                                                 const std::string& split) = 0;
  [[nodiscard]] virtual std::string weights_sha256(const BackboneDescription& backbone) = 0;
};

/// The files themselves. Digests are kept in `<workspace>/digests/`, so that a second look costs a
/// stat.
class PlanFiles final : public PlanInputs {
 public:
  /// `embedded_weights` is the folder of the weights that come with the project.
  PlanFiles(const Study& study,
            std::filesystem::path workspace,
            std::filesystem::path embedded_weights);
  [[nodiscard]] const Manifest& manifest(const std::string& dataset,
                                         const std::string& split) override;
  /// Throws DataError where the file is missing: where it was looked for and how to get it.
  [[nodiscard]] std::string weights_sha256(const BackboneDescription& backbone) override;
  /// Path of the backbone's weights, whether there or not.
  [[nodiscard]] std::filesystem::path weights_path(const BackboneDescription& backbone) const;

 private:
  void check_skipped(const std::string& dataset,
                     const std::filesystem::path& root,
                     const std::vector<std::string>& paths) const;

  const Study& study_;
  std::filesystem::path workspace_, embedded_weights_;
  std::map<std::pair<std::string, std::string>, Manifest> manifests_;
  std::map<std::string, std::string> weights_;
};

/// The jobs of a study. Throws ConfigError: a target that is its own training set, training images
/// in a target (unless `allow_overlap`), a loss that needs masks on a set without
/// (`cases.md` J04), a target without an auxiliary set; DataError as the inputs.
[[nodiscard]] Plan make_plan(const Study& study, PlanInputs& inputs);

/// For `Store::record_study`.
[[nodiscard]] std::vector<JobRecord> job_records(const Plan& plan);

/// What `assay plan` tells.
struct PlanSummary {
  struct Kind {
    JobKind kind = JobKind::kEncode;
    std::int64_t jobs = 0, done = 0;
    std::int64_t shared = 0;  ///< Needed by more than one row of this study, or by other studies.
    std::optional<double> remaining_seconds;  ///< On one gang; nothing: not measured yet.
  };
  std::string study;
  std::vector<Kind> kinds;
  std::int64_t cells = 0;
  std::vector<std::string> notes;
};

/// `needed_elsewhere`: ids that other studies of the store need; `seconds_per_work` by cost class.
[[nodiscard]] PlanSummary summarise(const Study& study,
                                    const Plan& plan,
                                    const std::set<std::string>& done,
                                    const std::set<std::string>& needed_elsewhere,
                                    const std::map<std::string, double>& seconds_per_work);

/// For people; `slots` gangs work side by side.
[[nodiscard]] std::string to_text(const PlanSummary& summary, std::int64_t slots = 1);
[[nodiscard]] nlohmann::json to_json(const PlanSummary& summary);

}  // namespace assay
