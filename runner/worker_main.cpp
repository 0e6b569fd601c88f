// assay-worker: what computes. `assay` executes it; people need not.

#include "core/comm/agree.h"
#include "core/error.h"
#include "core/file.h"
#include "core/memory.h"
#include "runner/environment.h"
#include "runner/gang_loop.h"
#include "runner/gang_scratch.h"
#include "runner/jobs.h"
#include "runner/pool_loop.h"
#include "runner/process.h"
#include "runner/worker_commands.h"

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include <cstdio>

namespace {

using namespace assay;

/// A job that only leaves a durable result: what the runner itself costs (`assay bench-runner`).
JobEnd run_noop(const nlohmann::json& run, Communicator& comm) {
  const JobRun noop = job_run_from_json(run);
  const nlohmann::json result = {{"id", noop.id},
                                 {"kind", "noop"},
                                 {"attempt", noop.attempt},
                                 {"spec", noop.spec},
                                 {"plan", noop.hints.at("plan")}};
  agree(comm, [&] {
    if (comm.rank() == 0) write_file_atomically(noop.result(), result.dump(1) + "\n");
  });
  return JobEnd::kDone;
}

/// What is loaded stays for the next job.
RunJob with(Loaded& loaded) {
  return [&loaded](const nlohmann::json& content, JobControl& control) {
    if (content.at("hints").contains("noop")) return run_noop(content, control.comm);
    return run_job(job_run_from_json(content), loaded, control);
  };
}

/// `assay-worker gang`: the coordinator's.
int gang(GangRank rank) {
  Loaded loaded;
  rank.job_communicator = [&](Communicator& host) {
    if (rank.gpus) loaded.device = open_gpu(host);
    return job_communicator(loaded.device, host);
  };
  rank.facts = [&] { return environment_facts(loaded.device); };
  return run_gang(rank, with(loaded));
}

/// `assay-worker pool`: of `mpirun assay run`.
int pool_rank(PoolRank rank) {
  Loaded loaded;
  rank.open_devices = [&](Communicator& world) {
    if (rank.gpus) loaded.device = open_gpu(world);
  };
  rank.job_communicator = [&](Communicator& host) { return job_communicator(loaded.device, host); };
  rank.facts = [&] { return environment_facts(loaded.device); };
  return run_pool(rank, with(loaded));
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  keep_freed_memory();
  // One thread a rank: the promise of equal bits holds for one number of threads.
  at::set_num_threads(1);
  CLI::App app("What assay computes", "assay");
  app.require_subcommand(1);
  GangRank rank;
  CLI::App* gang_command = app.add_subcommand("gang", "a rank of a gang (started by assay run)");
  gang_command->add_option("--folder", rank.folder)->required();
  gang_command->add_option("--ranks", rank.ranks)->required();
  gang_command->add_option("--cores", rank.cores, "CPU of each rank")->delimiter(',');
  gang_command->add_option("--devices", rank.devices, "CUDA_VISIBLE_DEVICES of each rank")
      ->delimiter(',');
  gang_command->add_flag("--gpus", rank.gpus, "each rank takes a GPU that it sees");
  PoolRank pool;
  CLI::App* pool_command =
      app.add_subcommand("pool", "a rank that mpirun has started (assay run under mpirun)");
  pool_command->add_option("--folder", pool.folder)->required();
  pool_command->add_option("--ranks", pool.ranks)->required();
  pool_command->add_flag("--gpus", pool.gpus, "each rank takes a GPU that it sees");
  pool_command->add_option("--hear", pool.hear, "descriptor of each gang's input");
  pool_command->add_option("--tell", pool.tell, "descriptor of each gang's events");
  std::filesystem::path strays;
  CLI::App* end_command = app.add_subcommand(
      "end-ranks", "end the ranks of a gang on this host (started by assay run)");
  end_command->add_option("--folder", strays)->required();
  std::vector<Command> commands;
  for (auto* add : {add_by_hand_commands, add_data_commands, add_backbone_commands,
                    add_heatmap_command, add_metrics_command, add_gpu_command}) {
    for (Command& command : add(app)) commands.push_back(std::move(command));
  }
  try {
    app.parse(argc, argv);
    if (gang_command->parsed()) return gang(rank);
    if (pool_command->parsed()) return pool_rank(pool);
    if (end_command->parsed()) {
      end_recorded_ranks(strays);
      remove_scratch(strays);
      fmt::print("{}\n", this_process().host);
      return 0;
    }
    for (const Command& command : commands) {
      if (command.app->parsed()) return command.run();
    }
    return 2;
  } catch (const CLI::ParseError& error) {
    return report_parse_error(app, error);
  } catch (const std::exception& error) {
    return report_error(error);
  }
}
