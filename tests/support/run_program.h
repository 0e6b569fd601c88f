#pragma once

#include <functional>
#include <string>
#include <vector>

namespace assay {

/// How a program ended and what it wrote to standard output and standard error.
struct ProgramResult {
  int exit_code = -1;  ///< -1 where a signal ended it.
  int signal = 0;
  std::string output;
};

/// Runs `arguments` (the program first) in a process group of its own, with standard input closed.
/// After `timeout_seconds` it gets SIGTERM and five seconds later SIGKILL. Where `kill_when`
/// returns true of the output so far, it gets SIGKILL at once.
[[nodiscard]] ProgramResult run_program(
    const std::vector<std::string>& arguments,
    double timeout_seconds = 60,
    const std::function<bool(const std::string& output)>& kill_when = {});

/// `program` under mpirun on `ranks` ranks, more than there are cores if need be.
[[nodiscard]] std::vector<std::string> under_mpirun(int ranks,
                                                    const std::vector<std::string>& program);

}  // namespace assay
