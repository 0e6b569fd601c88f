#pragma once

#include "core/shared_json.h"
#include "datasets/manifest.h"
#include "registry/backbone_catalogue.h"
#include "results/store.h"
#include "runner/job_spec.h"
#include "runner/machine.h"
#include "runner/spec_text.h"
#include "runner/study.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace assay {

/// A job of a plan. Paths are the runner's: they join when the job is sent.
struct Job {
  std::string id = {};
  JobKind kind = JobKind::kEncode;
  SpecText spec_text = {};
  SharedJson shared_hints = {};                ///< `hints` less what is this job's alone.
  std::vector<std::string> dependencies = {};  ///< Ids.
  std::string cost_class = {};
  double work = 0;   ///< Images; in a train job, times epochs.
  double bytes = 0;  ///< About what it leaves on disk.
  /// Of a train job: another with the same steps and fewer epochs, from whose kept state it goes
  /// on; may be empty. And whether it keeps its own.
  std::string continues = {};
  bool keeps_state = false;

  /// The identity.
  [[nodiscard]] nlohmann::json spec() const { return spec_text.json(); }
  /// What a worker needs besides and what changes no number: `switches` (all, as the method
  /// resolves them) and `preset` of train and evaluate, `continues`, `keeps_state`.
  [[nodiscard]] nlohmann::json hints() const;
};

/// A study as a graph of jobs.
struct Plan {
  std::vector<Job> jobs;           ///< Each once, after those it depends on.
  std::vector<StudyCell> cells;    ///< Rows times data sets, in the order of the study.
  std::vector<std::string> notes;  ///< What a person should know: overlap, sets without masks.

  /// By id; a search from the start.
  [[nodiscard]] const Job& job(const std::string& id) const;
};

/// What a person calls a job: `train faprompt:paper K=5 seed 0 on synth-a`, by id.
[[nodiscard]] std::map<std::string, std::string> job_labels(const Plan& plan);
/// The same from what a store keeps.
[[nodiscard]] std::map<std::string, std::string> job_labels(const std::vector<JobRecord>& jobs,
                                                            const std::vector<StudyCell>& cells);

/// From the measured costs of the store (`Store::seconds_per_work`): nothing before the first
/// measurement of the job's class.
[[nodiscard]] std::optional<double> expected_seconds(
    const Job& job, const std::map<std::string, double>& seconds_per_work);

/// What a plan needs to know of files.
class PlanInputs {
 public:
  virtual ~PlanInputs() = default;
  /// A split (`train` or `test`) with digests; without samples where the set has no such split.
  [[nodiscard]] virtual const Manifest& manifest(const std::string& dataset,
                                                 const std::string& split) = 0;
  [[nodiscard]] virtual std::string weights_sha256(const BackboneDescription& backbone) = 0;
  /// What profile jobs measure.
  [[nodiscard]] virtual Machine machine() const = 0;
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
  [[nodiscard]] Machine machine() const override { return machine_; }
  /// What computes, where not the CPU: a GPU's name.
  void compute_on(std::string device) { machine_.device = std::move(device); }
  /// Path of the backbone's weights, whether there or not.
  [[nodiscard]] std::filesystem::path weights_path(const BackboneDescription& backbone) const;

 private:
  void check_known(const std::string& dataset, const std::filesystem::path& root) const;
  void check_skipped(const std::string& dataset,
                     const std::filesystem::path& root,
                     const std::vector<std::string>& paths) const;

  const Study& study_;
  std::filesystem::path workspace_, embedded_weights_;
  std::map<std::pair<std::string, std::string>, Manifest> manifests_;
  std::map<std::string, std::string> weights_;
  Machine machine_ = this_machine();
};

/// The jobs of a study. Throws ConfigError: a target that is its own training set, training images
/// in a target (unless `allow_overlap`), a loss that needs masks on a set without
/// (`cases.md` J04), a target without an auxiliary set, too few images for a profile's batch;
/// DataError as the inputs.
[[nodiscard]] Plan make_plan(const Study& study, PlanInputs& inputs);

/// For `Store::record_study`.
[[nodiscard]] std::vector<JobRecord> job_records(const Plan& plan);

/// What `assay plan` tells.
struct PlanSummary {
  struct Kind {
    JobKind kind = JobKind::kEncode;
    std::int64_t jobs = 0, done = 0;
    std::int64_t shared = 0;                  ///< Needed by more than one cell of this study.
    std::int64_t elsewhere = 0;               ///< Needed by other studies of the workspace too.
    std::optional<double> remaining_seconds;  ///< On one gang; nothing: not measured yet.
    double remaining_bytes = 0;               ///< About what the jobs to do leave on disk.
  };
  std::string study;
  std::vector<Kind> kinds;
  std::int64_t cells = 0;
  std::map<std::string, std::int64_t> others = {};  ///< Jobs shared with each other study.
  std::vector<std::string> notes;
};

/// What a store knows that a plan's summary tells.
struct PlanHistory {
  std::unordered_set<std::string> done = {};
  std::map<std::string, std::vector<std::string>> others = {};  ///< Jobs of each other study.
  std::map<std::string, double> seconds_per_work = {};          ///< By cost class.
};

[[nodiscard]] PlanSummary summarise(const Study& study,
                                    const Plan& plan,
                                    const PlanHistory& history = {});

/// For people; `slots` gangs work side by side.
[[nodiscard]] std::string to_text(const PlanSummary& summary, std::int64_t slots = 1);
[[nodiscard]] nlohmann::json to_json(const PlanSummary& summary);

}  // namespace assay
