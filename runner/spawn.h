#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace assay {

/// Starts a program, `words[0]`, which is looked for in $PATH. It has no standard input, prints to
/// `out` and `err` (descriptors), blocks no signal and is a process group of its own, so that a
/// Ctrl-C at the terminal is for us to pass on, or not. `environment`: each NAME=VALUE; empty: this
/// process's own. Returns 0, or errno's code of what it cannot be executed for.
[[nodiscard]] int spawn(std::vector<std::string> words,
                        std::vector<std::string> environment,
                        int out,
                        int err,
                        pid_t& child);

/// Waits for the end of a child: its exit code, or 128 + the signal that ended it.
int wait_for_exit(pid_t child);

}  // namespace assay
