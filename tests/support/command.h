#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace assay {

struct CommandResult {
  int exit_code = -1;  ///< 128 + the signal where one ended it.
  std::string out, err;
};

/// A program that a test starts, in a process group of its own, with its own standard input, output
/// and errors.
class RunningCommand {
 public:
  /// `arguments`: the program first, looked for in $PATH. `environment` is added to the test's own.
  /// `folder` receives what is printed; `input` is what its standard input holds.
  RunningCommand(const std::vector<std::string>& arguments,
                 std::filesystem::path folder,
                 const std::map<std::string, std::string>& environment = {},
                 int input = -1);
  /// Kills it where it still runs.
  ~RunningCommand();
  RunningCommand(const RunningCommand&) = delete;
  RunningCommand& operator=(const RunningCommand&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void send(int signal) const;
  /// What it has printed on standard output so far.
  [[nodiscard]] std::string output() const;
  /// Whether it has ended of its own accord; `wait` tells how.
  [[nodiscard]] bool has_ended() const;
  /// Waits for its end, at most three minutes.
  CommandResult wait();

 private:
  std::filesystem::path folder_;
  pid_t pid_ = -1;
  bool ended_ = false;
};

/// What Open MPI has to be told where tests run: as root in a container, more ranks than cores.
[[nodiscard]] std::map<std::string, std::string> mpirun_environment();

/// Asks `condition` until it holds; false after `seconds`.
[[nodiscard]] bool eventually(const std::function<bool()>& condition, double seconds = 60);

}  // namespace assay
