#include "tests/support/run_program.h"

#include "core/file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

void check(int code, const char* call) {
  if (code != 0) throw std::runtime_error(std::string(call) + ": " + std::strerror(code));
}

// Starts the program with its output in `write_end`.
pid_t start(const std::vector<std::string>& arguments, int write_end) {
  posix_spawn_file_actions_t actions;
  check(::posix_spawn_file_actions_init(&actions), "posix_spawn_file_actions_init");
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, write_end, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, write_end, STDERR_FILENO);
  posix_spawnattr_t attributes;
  check(::posix_spawnattr_init(&attributes), "posix_spawnattr_init");
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  const int code = ::posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  check(code, arguments[0].c_str());
  return child;
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments,
                          double timeout_seconds,
                          const std::function<bool(const std::string& output)>& kill_when) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) check(errno, "pipe2");
  const Descriptor read_end(ends[0]);
  Descriptor write_end(ends[1]);
  const pid_t child = start(arguments, write_end.get());
  write_end.reset();

  ProgramResult result;
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout_seconds);
  int next_signal = SIGTERM;
  std::array<char, 4096> buffer{};
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd readable{read_end.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) == 0) {
      ::kill(-child, next_signal);
      if (next_signal == SIGKILL) break;
      next_signal = SIGKILL;
      deadline = Clock::now() + std::chrono::seconds(5);
      continue;
    }
    const ssize_t count = ::read(read_end.get(), buffer.data(), buffer.size());
    if (count <= 0) break;
    result.output.append(buffer.data(), static_cast<std::size_t>(count));
    if (kill_when && kill_when(result.output)) {
      ::kill(-child, SIGKILL);
      break;
    }
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

std::vector<std::string> under_mpirun(int ranks, const std::vector<std::string>& program) {
  // Settings of Open MPI that others ignore: root in a container, more ranks than cores.
  std::vector<std::string> all = {"env",
                                  "OMPI_ALLOW_RUN_AS_ROOT=1",
                                  "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                  "OMPI_MCA_rmaps_base_oversubscribe=1",
                                  "OMPI_MCA_hwloc_base_binding_policy=none",
                                  "OMPI_MCA_mpi_yield_when_idle=1",
                                  "mpirun",
                                  "-np",
                                  std::to_string(ranks)};
  all.insert(all.end(), program.begin(), program.end());
  return all;
}

}  // namespace assay
