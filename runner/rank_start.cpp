#include "runner/rank_start.h"

#include "core/error.h"
#include "runner/process.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace assay {
namespace {

constexpr int kFirstFreeDescriptor = 10;  // Away from 0, 1, 2.

void log_to(const std::filesystem::path& folder, int rank) {
  std::filesystem::create_directories(folder);
  const std::filesystem::path log = folder / fmt::format("rank{}.log", rank);
  const Descriptor file(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!file || ::dup2(file.get(), 1) < 0 || ::dup2(file.get(), 2) < 0) {
    throw DataError("{}: cannot be opened: {}", log.string(), std::strerror(errno));
  }
}

}  // namespace

ControlDescriptors start_rank(const std::filesystem::path& folder, int rank) {
  die_with_parent(SIGKILL, ::getppid());
  ControlDescriptors control;
  if (rank == 0) {
    control.input = Descriptor(::fcntl(0, F_DUPFD_CLOEXEC, kFirstFreeDescriptor));
    control.events = Descriptor(::fcntl(1, F_DUPFD_CLOEXEC, kFirstFreeDescriptor));
    if (!control.input || !control.events) {
      throw CommError("control channel: standard input or output is closed");
    }
  }
  const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), 0);
  log_to(folder, rank);
  // Not atomic and not durable on purpose: after a power cut there is no process to be ended.
  std::ofstream(folder / fmt::format("rank{}.json", rank))
      << to_json(this_process()).dump() << "\n";
  return control;
}

void bind_to_cores(std::span<const int> cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) {
    if (core < CPU_SETSIZE) CPU_SET(core, &set);
  }
  if (::sched_setaffinity(0, sizeof set, &set) == 0) return;
  fmt::print(stderr, "not bound to its CPUs: {}\n", std::strerror(errno));
}

}  // namespace assay
