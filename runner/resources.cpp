#include "runner/resources.h"

#include "core/error.h"
#include "runner/gpu_probe.h"
#include "runner/launched_rank.h"
#include "runner/progress.h"
#include "runner/slurm.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <sstream>

namespace assay {
namespace {

constexpr int kMostRanks = 4;  // Of a gang, where nobody says.

/// Gangs are steps where an allocation is there, unless the user wants mpirun.
Launcher find_launcher(const ResourceArguments& arguments) {
  Launcher launcher{.arguments = words_of(arguments.launcher_arguments)};
  const auto allocation = slurm_allocation();
  if (arguments.launcher == "local" || !allocation) return launcher;
  launcher.kind = Launcher::Kind::kSlurm;
  launcher.allocation = *allocation;
  return launcher;
}

/// The rest of an allocation's time is for running jobs to keep their state.
std::optional<std::chrono::seconds> time_left_in(const std::string& allocation) {
  try {
    const auto end = allocation_end(allocation);
    if (!end) return std::nullopt;
    const std::int64_t left = *end - std::time(nullptr);
    return std::chrono::seconds(left - std::min<std::int64_t>(left / 10, 60));
  } catch (const CommError& error) {
    say(stderr, fmt::format("note: when the allocation ends is not known: {}\n", error.what()));
    return std::nullopt;
  }
}

/// All ranks as one gang, where nobody says.
int ranks_of_gang(const ResourceArguments& arguments, const LaunchedRank& launched) {
  return arguments.ranks > 0 ? arguments.ranks : launched.world_size;
}

void deal_gpus(const ResourceArguments& arguments,
               const std::vector<std::string>& gpus,
               Resources& found) {
  if (!arguments.hostfile.empty()) {
    throw ConfigError(
        "--device cuda deals the GPUs of this machine, leave out --hostfile; on several: mpirun "
        "--hostfile {} -np N assay run ...",
        arguments.hostfile);
  }
  found.ranks = std::max(arguments.ranks, 1);
  const int of_each = std::max(arguments.gangs_per_gpu, 1);
  const int all = std::max(static_cast<int>(gpus.size()) * of_each, found.ranks);
  const int slots = arguments.slots > 0 ? arguments.slots : all;
  check_gpu_count(gpus, found.ranks, slots, of_each);
  // Every GPU has its first gang before one has its second.
  for (std::size_t slot = 0; slot < static_cast<std::size_t>(slots); ++slot) {
    found.slots.push_back({.device = gpus[slot % gpus.size()]});
  }
}

/// Ranks that an allocation has room for.
int slots_of_allocation(const ResourceArguments& arguments, bool on_gpus) {
  const int slots = arguments.slots > 0 ? arguments.slots : allocation_slots();
  if (!on_gpus) return slots;
  const int gpus = allocation_gpus(), least = std::max({arguments.slots, arguments.ranks, 1});
  if (gpus < least) {
    throw ConfigError(
        "--device cuda: {} ranks in an allocation of {} GPUs, expected one GPU a rank; use fewer "
        "--ranks or --slots, or ask Slurm for more (--gpus-per-node)",
        least, gpus);
  }
  return std::min(slots, gpus);
}

/// Of a gang: what is asked for, else what is usual, as far as there is room.
int ranks_within(const ResourceArguments& arguments, int usual, int slots) {
  if (arguments.ranks > slots) {
    throw ConfigError("--ranks {}: there are {} slots{}; use fewer --ranks", arguments.ranks, slots,
                      arguments.hostfile.empty() ? "" : " in " + arguments.hostfile);
  }
  return arguments.ranks > 0 ? arguments.ranks : std::min(usual, slots);
}

/// Only gangs of one rank that this process starts can share a GPU.
void check_sharing_of_gpus(const ResourceArguments& arguments, bool on_gpus, bool started_already) {
  const int gangs = arguments.gangs_per_gpu;
  if (!on_gpus) throw ConfigError("--gangs-per-gpu {}: only --device cuda has GPUs", gangs);
  if (arguments.ranks > 1 && gangs > 1) {
    throw ConfigError(
        "--gangs-per-gpu {} --ranks {}: NCCL joins no two ranks on one GPU, so that gangs which "
        "share GPUs have one rank each; leave out one of the two",
        gangs, arguments.ranks);
  }
  if (started_already || wants_pilot(arguments) ||
      find_launcher(arguments).kind == Launcher::Kind::kSlurm) {
    throw ConfigError(
        "--gangs-per-gpu {}: {} deals the GPUs, one to each rank; leave it out{}", gangs,
        started_already ? "mpirun" : "Slurm",
        started_already ? "" : ", or use --launcher local within an allocation of one node");
  }
}

}  // namespace

void check_resources(const ResourceArguments& arguments, bool on_gpus) {
  const LaunchedRank launched = launched_rank();
  if (launched.rank != 0) return;  // The first says it.
  if (arguments.gangs_per_gpu > 0) {
    check_sharing_of_gpus(arguments, on_gpus, launched.world_size > 1);
  }
  if (arguments.slots > 0 && arguments.ranks > arguments.slots) {
    throw ConfigError(
        "--ranks {} --slots {}: a gang of {} ranks does not fit into {} processes in all; use "
        "fewer --ranks or more --slots",
        arguments.ranks, arguments.slots, arguments.ranks, arguments.slots);
  }
  if (arguments.slots > 0 && launched.world_size > 1) {
    throw ConfigError(
        "--slots {}: the launcher has started {} ranks already, and all of them work; leave out "
        "--slots",
        arguments.slots, launched.world_size);
  }
  if (arguments.slots > 0 && !arguments.hostfile.empty()) {
    throw ConfigError("--slots {}: {} says how many processes each host gets; leave out --slots",
                      arguments.slots, arguments.hostfile);
  }
}

Resources find_resources(const ResourceArguments& arguments, const std::vector<std::string>& gpus) {
  Resources found;
  const LaunchedRank launched = launched_rank();
  found.launcher = find_launcher(arguments);
  if (const auto allocation = slurm_allocation()) found.time_left = time_left_in(*allocation);
  if (launched.world_size > 1) {
    found.ranks = ranks_of_gang(arguments, launched);
    found.pool = {.world_size = launched.world_size, .ranks = found.ranks, .gpus = !gpus.empty()};
    found.slots.resize(static_cast<std::size_t>(launched.world_size));
    return found;
  }
  const int here = std::max(static_cast<int>(allowed_cores().size()), 1);
  // One model a GPU, unless the person says otherwise: at the papers' batch of 8 one GPU is already
  // waiting for work (`spec/performance.md` 4.1).
  const int usual = gpus.empty() ? std::min(here, kMostRanks) : 1;
  if (!arguments.hostfile.empty() && gpus.empty()) {
    found.slots = read_hostfile(arguments.hostfile);
    found.launcher.hostfile = arguments.hostfile;
    found.ranks = ranks_within(arguments, usual, static_cast<int>(found.slots.size()));
  } else if (found.launcher.kind == Launcher::Kind::kSlurm) {
    // Slurm binds: a step gets cores and GPUs of its own.
    found.launcher.gpus = !gpus.empty();
    const int known = slots_of_allocation(arguments, found.launcher.gpus);
    const int slots = known > 0 ? known : std::max(arguments.ranks, usual);
    found.ranks = ranks_within(arguments, usual, slots);
    found.slots.resize(static_cast<std::size_t>(slots));
  } else if (!gpus.empty()) {
    deal_gpus(arguments, gpus, found);
  } else {
    const int slots = arguments.slots > 0 ? arguments.slots : std::max(here, arguments.ranks);
    found.ranks = ranks_within(arguments, usual, slots);
    found.claim = std::make_unique<CoreClaim>(static_cast<std::size_t>(slots), allowed_cores());
    found.slots = local_slots(slots, found.claim->cores());
  }
  return found;
}

bool wants_pilot(const ResourceArguments& arguments) {
  return arguments.launcher == "slurm" && !slurm_allocation();
}

void become_rank_of_pool(const ResourceArguments& arguments,
                         const std::filesystem::path& worker,
                         const Workspace& workspace,
                         bool gpus) {
  const LaunchedRank launched = launched_rank();
  if (launched.rank == 0) return;
  become_pool_rank(worker, workspace.gangs(),
                   {.world_size = launched.world_size,
                    .ranks = ranks_of_gang(arguments, launched),
                    .gpus = gpus});
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

}  // namespace assay
