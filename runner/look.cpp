#include "runner/look.h"

#include "core/error.h"

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
