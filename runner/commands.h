#pragma once

#include "runner/cli.h"

#include <vector>

namespace assay {

// The commands of `assay` itself, none of which loads LibTorch. Each adds its subcommands to `app`.
[[nodiscard]] std::vector<Command> add_study_commands(CLI::App& app);  ///< plan, run, table
[[nodiscard]] Command add_status_command(CLI::App& app);
[[nodiscard]] Command add_log_command(CLI::App& app);
[[nodiscard]] Command add_cancel_command(CLI::App& app);
[[nodiscard]] Command add_methods_command(CLI::App& app);
[[nodiscard]] std::vector<Command> add_store_commands(CLI::App& app);  ///< store check|rebuild|gc
[[nodiscard]] Command add_why_command(CLI::App& app);
[[nodiscard]] Command add_explain_command(CLI::App& app);
[[nodiscard]] std::vector<Command> add_doctor_command(CLI::App& app);  ///< doctor
[[nodiscard]] std::vector<Command> add_bench_command(CLI::App& app);   ///< bench-runner, hidden

}  // namespace assay
