#pragma once

#include "runner/interrupts.h"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace assay {

struct PilotOptions {
  std::filesystem::path folder;  ///< `<workspace>/slurm`: its record, script and log.
  std::string study;
  std::vector<std::string> command;         ///< What the job runs: this very `assay run`.
  std::vector<std::string> sbatch_options;  ///< `--ntasks=8`, `--partition=gpu`, ...
  double poll_seconds = 2;
};

/// Has a study run by one Slurm job (a pilot: one Slurm job per trial would cost over a second each
/// and hit the limits of sites), and follows it to its end, showing what it prints.
///
/// A pilot of this study that waits or runs is followed instead of a second one being submitted,
/// after whatever death of this process. It is known by its name, which has the study, the time and
/// a random part in it: a job's number may be somebody else's by now.
///
/// The first signal stops the study as Ctrl-C does, the second cancels the job. Returns the
/// command's exit code; nothing where it had no time to say one. Throws ConfigError where sbatch
/// refuses, CommError where there is no Slurm.
[[nodiscard]] std::optional<int> follow_pilot(const PilotOptions& options,
                                              Interrupts& interrupts,
                                              const std::function<void(const std::string&)>& say);

/// Leaves the exit code of this process for whoever follows it, where somebody does.
void tell_follower(int exit_code);

}  // namespace assay
