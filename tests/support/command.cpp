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
  const auto open_for_writing = [&](const char* name) {
    return Descriptor(
        ::open((folder_ / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  };
  const Descriptor out = open_for_writing("stdout"), err = open_for_writing("stderr");
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::setpgid(0, 0);
  // A shell without job control has its background jobs, such as this test, ignore them.
  for (const int signal : {SIGINT, SIGQUIT}) ::signal(signal, SIG_DFL);
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  ::dup2(input >= 0 ? input : ::open("/dev/null", O_RDONLY), 0);
  ::dup2(out.get(), 1);
  ::dup2(err.get(), 2);
  ::execvp(pointers[0], pointers.data());
  std::_Exit(127);
}

RunningCommand::~RunningCommand() {
  if (ended_) return;
  send(SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void RunningCommand::send(int signal) const { ::kill(pid_, signal); }

std::string RunningCommand::output() const { return read_file(folder_ / "stdout"); }

bool RunningCommand::has_ended() const {
  siginfo_t info{};  // Left as it is while the child runs.
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
  return info.si_pid == pid_;
}

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

std::map<std::string, std::string> mpirun_environment() {
  return {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
          {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
          {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
          {"OMPI_MCA_hwloc_base_binding_policy", "none"},
          {"OMPI_MCA_mpi_yield_when_idle", "1"}};
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
