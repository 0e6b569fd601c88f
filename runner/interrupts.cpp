#include "runner/interrupts.h"

#include "core/error.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace assay {
namespace {

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t interrupt_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM}) {
    // Blocked, it would be queued although it is ignored.
    if (!is_ignored(signal)) ::sigaddset(&signals, signal);
  }
  return signals;
}

}  // namespace

Interrupts::Interrupts(std::optional<std::chrono::seconds> time_left) {
  const sigset_t signals = interrupt_signals();
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  descriptor_ = Descriptor(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!descriptor_) throw CommError("signalfd: {}", std::strerror(errno));
  if (time_left) ::alarm(static_cast<unsigned>(std::max<std::int64_t>(time_left->count(), 1)));
}

Interrupts::~Interrupts() {
  ::alarm(0);
  static_cast<void>(count());  // What came is dealt with: unblocking must not deliver it.
  const sigset_t signals = interrupt_signals();
  ::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
}

int Interrupts::count() {
  signalfd_siginfo info{};
  while (::read(descriptor_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGALRM) {
      out_of_time_ = true;
    } else {
      ++count_;
    }
  }
  return std::max(count_, out_of_time_ ? 1 : 0);
}

}  // namespace assay
