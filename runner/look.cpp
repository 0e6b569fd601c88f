#include "runner/look.h"

#include "core/error.h"
#include "runner/lease.h"
#include "runner/study.h"

namespace assay {

Store open_store(const Places& places) {
  const Workspace workspace = places.paths();
  if (!std::filesystem::exists(workspace.store())) {
    throw ConfigError(
        "{}: there is no workspace; 'assay run STUDY.toml' makes one, or name it with "
        "--workspace",
        workspace.root.string());
  }
  return Store(workspace.store());
}

bool coordinator_lives(const Workspace& workspace) { return !lease_holder(workspace.root).empty(); }

std::string present_state(const std::string& recorded, bool lives) {
  return recorded == "running" && !lives ? "interrupted" : recorded;
}

Attempt present_attempt(Attempt attempt, bool lives) {
  const std::string state = present_state(attempt.outcome, lives);
  if (state != attempt.outcome) attempt.message = kWhyInterrupted;
  attempt.outcome = state;
  return attempt;
}

std::vector<StudyRecord> studies_of_file(const Store& store, const std::string& name) {
  std::vector<StudyRecord> studies = store.studies();
  std::erase_if(studies, [&](const StudyRecord& study) {
    return plain_name(study.name, study.text) != name;
  });
  return studies;
}

std::map<std::string, std::string> stored_labels(const Store& store) {
  std::vector<JobRecord> jobs;
  for (const JobStatus& job : store.jobs()) jobs.push_back(store.job(job.id));
  std::vector<StudyCell> cells;
  for (const StudyRecord& study : store.studies()) {
    for (StudyCell& cell : store.cells(study.name)) cells.push_back(std::move(cell));
  }
  return job_labels(jobs, cells);
}

}  // namespace assay
