#pragma once

#include "core/comm/communicator.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace assay {

/// What a running job may ask of its gang.
struct JobControl {
  Communicator& comm;
  /// Tells the coordinator how far the job is; of rank 0 alone, a few times a second at most.
  /// Fields: `done`, `total`, `unit`, `loss`.
  std::function<void(const nlohmann::json&)> progress;
  /// Whether the job should keep its state and end; may differ between ranks for a moment.
  std::function<bool()> should_stop;
};

enum class JobEnd { kDone, kInterrupted };

/// Runs one job on this rank: `run` is a JobRun. Throws JobError, on
/// every rank alike (`core/comm/agree.h`), where the job fails for a reason of its own. Anything
/// else that it throws ends the gang.
using RunJob = std::function<JobEnd(const nlohmann::json& run, JobControl& control)>;

struct GangRank {
  std::filesystem::path folder;           ///< Of the gang: logs while no job runs, `rankN.json`.
  int ranks = 1;                          ///< Asked for; a world of another size is a CommError.
  std::vector<int> cores = {};            ///< CPU of each rank; empty: bound to none.
  std::vector<std::string> devices = {};  ///< `CUDA_VISIBLE_DEVICES` of each rank; empty: as it is.
  bool gpus = false;                      ///< Each rank takes a GPU of those that it sees.
  /// What rank 0 says of itself in `ready`, for the record: host, CPU, versions. Called when the
  /// libraries may start.
  std::function<nlohmann::json()> facts = {};
  /// What jobs communicate over, made from what the ranks do, which outlives it; null: the same. A
  /// collective call, before `facts`.
  std::function<std::unique_ptr<Communicator>(Communicator& host)> job_communicator = {};
};

/// The life of one rank of a gang (`design.md` 3): takes jobs from the coordinator until it says
/// `end`. To be called first in `main`, before any library has started. Returns the exit code.
///
/// Messages to rank 0: {"do": "run", "job": id, "attempt": number, "file": a JobRun, "sha256": its
/// digest, "folder": the attempt's, made when there is something to keep}, {"do": "cancel", "job":
/// id}, {"do": "stop"}, {"do": "end"}. A `run` that comes while a job runs waits for its end; if it
/// is stopped or cancelled before, it is `interrupted` and does nothing. From it: {"event": "ready"
/// | "progress" | "done" | "interrupted" | "failed", "job": id, "attempt": number, ...}.
int run_gang(const GangRank& gang, const RunJob& run_job);

}  // namespace assay
