#include "runner/launcher.h"

#include "core/digest.h"
#include "runner/process.h"
#include "runner/slurm.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string_view>

#ifndef ASSAY_MPIRUN
#define ASSAY_MPIRUN "mpirun"
#endif

namespace assay {
namespace {

/// Whether a variable describes the ranks of a launcher that this process was started by, which
/// would be taken for those of the gang's.
bool is_of_outer_launcher(std::string_view entry, const Launcher& launcher) {
  const auto starts_with = [&](std::string_view prefix) { return entry.starts_with(prefix); };
  constexpr std::string_view kMpi[] = {"OMPI_COMM_WORLD_", "PMIX_", "OMPI_MCA_orte_",
                                       "OMPI_MCA_ess_", "PMI_"};
  if (std::ranges::any_of(kMpi, starts_with)) return true;
  // An mpirun that sees Slurm starts its daemons by srun, whatever its user wanted.
  if (launcher.kind == Launcher::Kind::kMpirun) return starts_with("SLURM_");
  // srun takes the shape of the batch job for that of the step.
  constexpr std::string_view kShape[] = {
      "SLURM_NTASKS",   "SLURM_NPROCS",       "SLURM_TASKS_PER_NODE", "SLURM_STEP",
      "SLURM_PROCID",   "SLURM_LOCALID",      "SLURM_NODEID",         "SLURM_CPU_BIND",
      "SLURM_MEM_PER_", "SLURM_DISTRIBUTION", "SLURM_CPUS_PER_TASK",  "SLURM_JOB_NAME",
      "SLURM_GPU",      "SLURM_GRES",         "SLURM_TRES_PER_TASK"};
  return std::ranges::any_of(kShape, starts_with);
}

}  // namespace

std::vector<std::string> launcher_command(const Launcher& launcher,
                                          const std::vector<Slot>& slots,
                                          const std::string& step) {
  if (launcher.kind == Launcher::Kind::kSlurm) {
    std::vector<std::string> command =
        step_command(static_cast<int>(slots.size()), step, launcher.gpus);
    command.insert(command.end(), launcher.arguments.begin(), launcher.arguments.end());
    return command;
  }
  const bool here = std::ranges::all_of(slots, [](const Slot& slot) { return slot.host.empty(); });
  if (slots.size() == 1 && here) return {};
  const char* named = std::getenv("ASSAY_MPIRUN");
  std::string mpirun = named != nullptr ? named : ASSAY_MPIRUN;
  if (named == nullptr && !std::filesystem::exists(mpirun)) mpirun = "mpirun";
  std::vector<std::string> command = {mpirun, "-np", std::to_string(slots.size())};
  if (!here) {
    std::map<std::string, int> ranks;
    for (const Slot& slot : slots) ++ranks[slot.host];
    std::string hosts;
    for (const Slot& slot : slots) {  // In the order of the ranks; a gang's slots come by host.
      const auto count = ranks.extract(slot.host);
      if (count.empty()) continue;
      hosts += fmt::format("{}{}:{}", hosts.empty() ? "" : ",", slot.host, count.mapped());
    }
    command.insert(command.end(), {"--host", hosts});
  }
  command.insert(command.end(), launcher.arguments.begin(), launcher.arguments.end());
  return command;
}

std::vector<std::string> launcher_environment(const Launcher& launcher) {
  std::vector<std::string> result;
  const auto add_default = [&](const char* name, const char* value) {
    if (std::getenv(name) == nullptr) result.push_back(fmt::format("{}={}", name, value));
  };
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!is_of_outer_launcher(text, launcher)) result.emplace_back(text);
  }
  if (::geteuid() == 0) {  // Containers: the user is root, and Open MPI refuses without both.
    add_default("OMPI_ALLOW_RUN_AS_ROOT", "1");
    add_default("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    add_default("PRTE_ALLOW_RUN_AS_ROOT", "1");
    add_default("PRTE_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  // Several mpiruns would all bind to the first cores; more ranks than cores are the user's choice.
  add_default("OMPI_MCA_hwloc_base_binding_policy", "none");
  add_default("OMPI_MCA_rmaps_base_oversubscribe", "1");
  add_default("PRTE_MCA_hwloc_default_binding_policy", "none");
  add_default("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
  add_default("OMPI_MCA_mpi_yield_when_idle", "1");
  // Containers without ptrace rights refuse process_vm_readv (open-mpi/ompi#4948).
  add_default("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
  return result;
}

std::string step_name(const std::filesystem::path& folder) {
  return "assay-" + sha256(std::filesystem::weakly_canonical(folder).string()).substr(0, 12);
}

void end_ranks(const Launcher& launcher, const std::filesystem::path& folder) {
  end_recorded_ranks(folder);
  if (launcher.kind == Launcher::Kind::kSlurm) {
    end_steps(launcher.allocation, step_name(folder));
  }
}

}  // namespace assay
