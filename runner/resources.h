#pragma once

#include "runner/launcher.h"
#include "runner/real_world.h"
#include "runner/slots.h"
#include "runner/workspace.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// What a person says about them; 0 and empty: nothing.
struct ResourceArguments {
  int ranks = 0, slots = 0, gangs_per_gpu = 0;
  std::string hostfile, launcher = "auto", launcher_arguments;
};

/// What a run has to compute with, and what starts its gangs.
struct Resources {
  std::vector<Slot> slots;
  int ranks = 1;  ///< Of each gang.
  Launcher launcher;
  std::optional<PoolShape> pool;                  ///< Ranks that are there already.
  std::optional<std::chrono::seconds> time_left;  ///< Until work must stop.
  std::unique_ptr<CoreClaim> claim;               ///< For as long as the gangs live.
};

/// Throws ConfigError for what contradicts itself, or what nobody would heed.
void check_resources(const ResourceArguments& arguments, bool on_gpus);

/// Looks around: ranks of an outer mpirun, else the allocation of Slurm, else this machine or the
/// hosts of a file. `gpus`: the GPUs of this machine that the study shall use, as
/// `CUDA_VISIBLE_DEVICES` names them; empty: none. Throws ConfigError.
[[nodiscard]] Resources find_resources(const ResourceArguments& arguments,
                                       const std::vector<std::string>& gpus);

/// Whether a Slurm job has to be submitted first: `--launcher slurm` outside of an allocation.
[[nodiscard]] bool wants_pilot(const ResourceArguments& arguments);

/// In `mpirun -np N assay run` all ranks but the first become workers here, and it does not return.
void become_rank_of_pool(const ResourceArguments& arguments,
                         const std::filesystem::path& worker,
                         const Workspace& workspace,
                         bool gpus);

/// The words of a text, at blanks.
[[nodiscard]] std::vector<std::string> words_of(const std::string& text);

}  // namespace assay
