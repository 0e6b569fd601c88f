#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace assay {

// What Slurm's own programs are asked and told: squeue, scancel, sbatch. Slurm can be silent for a
// while (its controller restarts), so that no answer is never taken for "gone".

/// The allocation that this process runs in: $SLURM_JOB_ID; nothing outside.
[[nodiscard]] std::optional<std::string> slurm_allocation();

/// How many ranks the allocation was made for: $SLURM_NTASKS, else its CPUs on all nodes
/// ($SLURM_JOB_CPUS_PER_NODE: `16(x2),8`). 0 where the environment says neither.
[[nodiscard]] int allocation_slots();

/// How many GPUs it has: those of this node ($SLURM_GPUS_ON_NODE), as many on each of its nodes.
[[nodiscard]] int allocation_gpus();

/// When the allocation `job` ends, in seconds since the epoch: nothing where it has no limit or
/// squeue does not say.
[[nodiscard]] std::optional<std::int64_t> allocation_end(const std::string& job);

/// The command before a program that starts `ranks` processes of it as a step of the allocation:
/// cores of its own, standard input to rank 0 alone, MPI through PMIx. With `gpus` as many GPUs of
/// its own on each node as it has ranks there, of which every rank sees all, since NCCL copies
/// between them; without, none.
[[nodiscard]] std::vector<std::string> step_command(int ranks,
                                                    const std::string& step_name,
                                                    bool gpus);

/// Cancels the steps called `step_name` of the allocation `job` and returns when none is left, so
/// that no process of it lives on any node. Throws CommError where one stays or squeue does not
/// answer.
void end_steps(const std::string& job, const std::string& step_name);

/// A job in Slurm's queue.
struct QueuedJob {
  std::string id;
  std::string state;   ///< PENDING, RUNNING, COMPLETING, ...
  std::string reason;  ///< Why it waits, or its nodes: Slurm's own words.
};

/// The job of this user called `name` that waits or runs; nothing where there is none. Throws
/// CommError where squeue does not answer.
[[nodiscard]] std::optional<QueuedJob> find_job(const std::string& name);

/// Submits a batch script and returns the job's number. `options` go to sbatch before it. Throws
/// ConfigError with sbatch's own words where it refuses, CommError where there is no Slurm.
[[nodiscard]] std::string submit_job(const std::vector<std::string>& options,
                                     const std::string& script_path);

/// SIGINT to the batch script's own process, once it runs; a job that waits is cancelled.
void interrupt_job(const QueuedJob& job);
void cancel_job(const QueuedJob& job);

}  // namespace assay
