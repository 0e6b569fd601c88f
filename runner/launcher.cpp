#include "runner/launcher.h"

#include "core/digest.h"
#include "core/file.h"
#include "runner/gang_scratch.h"
#include "runner/process.h"
#include "runner/run_program.h"
#include "runner/slurm.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#ifndef ASSAY_MPIRUN
#define ASSAY_MPIRUN "mpirun"
#endif

namespace assay {
namespace {

constexpr double kAnswerSeconds = 60;  // For other hosts; ssh may be slow.

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

std::string mpirun_program() {
  const char* named = std::getenv("ASSAY_MPIRUN");
  if (named != nullptr) return named;
  return std::filesystem::exists(ASSAY_MPIRUN) ? ASSAY_MPIRUN : "mpirun";
}

/// By one process a host, which says the name that ranks there have recorded when they are dead.
void end_ranks_elsewhere(const Launcher& launcher,
                         const std::filesystem::path& worker,
                         const std::filesystem::path& folder) {
  std::vector<ProcessIdentity> elsewhere = recorded_ranks(folder);
  std::erase_if(elsewhere, [](const ProcessIdentity& rank) { return is_alive(rank).has_value(); });
  if (elsewhere.empty() || !std::filesystem::exists(folder / kHostsFile)) return;
  std::string hosts = read_file(folder / kHostsFile);
  const auto count = 1 + std::ranges::count(hosts, ',');
  std::vector<std::string> words = {mpirun_program(), "-np", std::to_string(count), "--host",
                                    hosts};
  words.insert(words.end(), launcher.arguments.begin(), launcher.arguments.end());
  words.insert(words.end(), {worker.string(), "end-ranks", "--folder", folder.string()});
  const ProgramResult result = run_program(words, kAnswerSeconds, launcher_environment(launcher));
  std::set<std::string> ended;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) ended.insert(line);
  for (const ProcessIdentity& rank : elsewhere) {
    if (ended.contains(rank.host)) continue;
    throw UnreachableError(
        "{}: process {} of host {} may still live, and the host does not answer; see that it is "
        "dead, remove the folder and start again",
        folder.string(), rank.pid, rank.host);
  }
  std::filesystem::remove(folder / kHostsFile);
}

}  // namespace

std::string host_list(const std::vector<Slot>& slots, int count) {
  std::map<std::string, int> ranks;
  for (const Slot& slot : slots) ++ranks[slot.host];
  ranks.erase("");
  std::string hosts;
  for (const Slot& slot : slots) {  // A gang's slots come by host.
    const auto found = ranks.extract(slot.host);
    if (found.empty()) continue;
    hosts += fmt::format("{}{}:{}", hosts.empty() ? "" : ",", slot.host,
                         count > 0 ? count : found.mapped());
  }
  return hosts;
}

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
  std::vector<std::string> command = {mpirun_program(), "-np", std::to_string(slots.size())};
  if (!here) command.insert(command.end(), {"--host", host_list(slots)});
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

void end_ranks(const Launcher& launcher,
               const std::filesystem::path& worker,
               const std::filesystem::path& folder) {
  end_recorded_ranks(folder);
  end_ranks_elsewhere(launcher, worker, folder);
  if (launcher.kind == Launcher::Kind::kSlurm) {
    end_steps(launcher.allocation, step_name(folder));
  }
  remove_scratch(folder);
}

}  // namespace assay
