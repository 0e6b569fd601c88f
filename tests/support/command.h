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

/// A program that a test starts, with its own standard input, output and errors.
class RunningCommand {
 public:
  /// `environment` is added to the test's own. `folder` receives what is printed; `input` is what
  /// its standard input holds.
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
  /// Waits for its end, at most three minutes.
  CommandResult wait();

 private:
  std::filesystem::path folder_;
  pid_t pid_ = -1;
  bool ended_ = false;
};

/// Asks `condition` until it holds; false after `seconds`.
[[nodiscard]] bool eventually(const std::function<bool()>& condition, double seconds = 60);

}  // namespace assay
