#pragma once

#include "runner/cli.h"

#include <vector>

namespace assay {

// The commands of `assay-worker` that people type as `assay ...`. Each adds its subcommands.
[[nodiscard]] std::vector<Command> add_by_hand_commands(
    CLI::App& app);                                                   ///< encode, train, evaluate
[[nodiscard]] std::vector<Command> add_data_commands(CLI::App& app);  ///< data list|check|synth
[[nodiscard]] std::vector<Command> add_backbone_commands(CLI::App& app);  ///< backbone check|import
[[nodiscard]] std::vector<Command> add_heatmap_command(CLI::App& app);    ///< heatmaps
[[nodiscard]] std::vector<Command> add_metrics_command(CLI::App& app);    ///< metrics
[[nodiscard]] std::vector<Command> add_gpu_command(CLI::App& app);  ///< gpus, of the worker alone

}  // namespace assay
