#pragma once

#include "runner/job_run.h"
#include "runner/plan.h"
#include "runner/study.h"
#include "runner/workspace.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace assay {

// Exit codes (`design.md` 4).
inline constexpr int kExitSomeFailed = 1;
inline constexpr int kExitWrongInput = 2;
inline constexpr int kExitTryAgain = 75;  ///< The workspace is held, or the time is up.
inline constexpr int kExitInterrupted = 130;

/// A subcommand of one of the two programs: what runs where it was given, and returns the exit
/// code.
struct Command {
  CLI::App* app;
  std::function<int()> run;
};

/// Where things lie, as the command line says; precedes the study file, which precedes the
/// environment ($ASSAY_DATA, $ASSAY_WEIGHTS).
struct Places {
  std::string workspace = "assay-workspace";
  std::string data, weights;

  [[nodiscard]] Workspace paths() const {
    return {std::filesystem::absolute(workspace).lexically_normal()};
  }
  /// Fills in where the study's files lie.
  void apply_to(Study& study) const;
};

/// Adds `--workspace`.
void add_workspace(CLI::App& command, Places& places);
/// Adds `--workspace`, `--data` and `--weights`.
void add_places(CLI::App& command, Places& places);

/// Adds `--device`, which becomes `cpu` or `cuda`.
void add_device(CLI::App& command, std::string& device);

/// For `check`: a whole number of at least `minimum`, or a number above 0.
[[nodiscard]] CLI::Validator at_least(std::int64_t minimum);
[[nodiscard]] CLI::Validator above_zero();

/// What an attempt at `job` is told of this machine.
[[nodiscard]] JobRun describe_job(const Job& job,
                                  const Study& study,
                                  const PlanFiles& files,
                                  const Workspace& workspace);

/// Prints `assay: error: ...` on stderr and returns the exit code that the error's type has
/// (`design.md` 4): 2 wrong use or input, 75 try again, 1 else.
int report_error(const std::exception& error);

/// What is wrong with the words of a command line, in the same form; prints the help or the version
/// where that was asked for. Returns the exit code.
int report_parse_error(const CLI::App& app, const CLI::ParseError& error);

/// Opens /dev/null as whichever of the descriptors 0, 1 and 2 is closed (`<&-`): no file or pipe of
/// ours may become one of them.
void open_standard_descriptors();

/// An example for `--help`.
void set_example(CLI::App& command, const std::string& example);

}  // namespace assay
