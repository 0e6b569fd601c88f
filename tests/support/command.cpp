#include "tests/support/command.h"

#include "core/file.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <thread>

namespace assay {

RunningCommand::RunningCommand(const std::vector<std::string>& arguments,
                               std::filesystem::path folder,
                               const std::map<std::string, std::string>& environment,
                               int input)
    : folder_(std::move(folder)) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers;
  for (std::string& argument : copies) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const std::string out = folder_ / "stdout", err = folder_ / "stderr";
  pid_ = ::fork();
  if (pid_ != 0) return;
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  ::dup2(input >= 0 ? input : ::open("/dev/null", O_RDONLY), 0);
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
  ::execv(pointers[0], pointers.data());
  std::_Exit(127);
}

RunningCommand::~RunningCommand() {
  if (ended_) return;
  send(SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void RunningCommand::send(int signal) const { ::kill(pid_, signal); }

CommandResult RunningCommand::wait() {
  int status = 0;
  if (!eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; }, 180)) {
    send(SIGKILL);
    ::waitpid(pid_, &status, 0);
  }
  ended_ = true;
  return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
          read_file(folder_ / "stdout"), read_file(folder_ / "stderr")};
}

bool eventually(const std::function<bool()>& condition, double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace assay
