#pragma once

#include "runner/cli.h"

#include <vector>

namespace assay {

// The commands of `assay` itself, none of which loads LibTorch. Each adds its subcommands to `app`.
[[nodiscard]] std::vector<Command> add_study_commands(CLI::App& app);  ///< plan, run, table
[[nodiscard]] std::vector<Command> add_look_commands(CLI::App& app);   ///< status, log, methods
[[nodiscard]] std::vector<Command> add_doctor_command(CLI::App& app);  ///< doctor

}  // namespace assay
