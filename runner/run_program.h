#pragma once

#include <string>
#include <vector>

namespace assay {

/// What a program that was run to its end has said.
struct ProgramResult {
  int exit_code = -1;  ///< 128 + the signal where one ended it; 127 where it cannot be executed.
  std::string out, err;
  [[nodiscard]] bool good() const { return exit_code == 0; }
};

/// Runs `words` (the program first, looked for in $PATH) without standard input and waits for its
/// end. After `timeout_seconds` it is killed, which its `err` then says. `environment`: each
/// NAME=VALUE; empty: this process's own.
[[nodiscard]] ProgramResult run_program(const std::vector<std::string>& words,
                                        double timeout_seconds,
                                        std::vector<std::string> environment = {});

}  // namespace assay
