// assay-worker: what computes. `assay` executes it; people need not.

#include "core/error.h"
#include "core/memory.h"
#include "runner/environment.h"
#include "runner/gang_loop.h"
#include "runner/jobs.h"
#include "runner/worker_commands.h"

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include <cstdio>

namespace {

using namespace assay;

/// `assay-worker gang`: the coordinator's.
int gang(const std::string& folder, int ranks) {
  Loaded loaded;
  const auto facts = [&] { return environment_facts(loaded.device); };
  const auto run = [&](const nlohmann::json& content, JobControl& control) {
    return run_job(job_run_from_json(content), loaded, control);
  };
  return run_gang({folder, ranks, facts}, run);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  keep_freed_memory();
  // One thread a rank: the promise of equal bits holds for one number of threads.
  at::set_num_threads(1);
  CLI::App app("What assay computes", "assay");
  app.require_subcommand(1);
  std::string folder;
  int ranks = 1;
  CLI::App* gang_command = app.add_subcommand("gang", "a rank of a gang (started by assay run)");
  gang_command->add_option("--folder", folder)->required();
  gang_command->add_option("--ranks", ranks)->required();
  std::vector<Command> commands;
  for (auto* add : {add_by_hand_commands, add_data_commands, add_backbone_commands,
                    add_heatmap_command, add_metrics_command, add_gpu_command}) {
    for (Command& command : add(app)) commands.push_back(std::move(command));
  }
  try {
    app.parse(argc, argv);
    if (gang_command->parsed()) return gang(folder, ranks);
    for (const Command& command : commands) {
      if (command.app->parsed()) return command.run();
    }
    return 2;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    return report_error(error);
  }
}
