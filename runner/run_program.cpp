#include "runner/run_program.h"

#include "runner/pipe.h"
#include "runner/spawn.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

namespace assay {
namespace {

/// What has arrived; false once the other end is closed.
bool take(int descriptor, std::string& text) {
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
  if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  return count > 0 || (count < 0 && errno == EINTR);
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& words,
                          double timeout_seconds,
                          std::vector<std::string> environment) {
  Pipe out = make_pipe(), err = make_pipe();
  pid_t child = -1;
  const int code = spawn(words, std::move(environment), out.write.get(), err.write.get(), child);
  ProgramResult result;
  if (code != 0) {
    result.exit_code = 127;
    result.err = fmt::format("{}: {}", words[0], std::strerror(code));
    return result;
  }
  out.write.reset();
  err.write.reset();

  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds);
  bool late = false, out_open = true, err_open = true;
  while (out_open || err_open) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      late = true;
      break;
    }
    std::array<pollfd, 2> ends = {
        {{out_open ? out.read.get() : -1, POLLIN, 0}, {err_open ? err.read.get() : -1, POLLIN, 0}}};
    ::poll(ends.data(), ends.size(), static_cast<int>(left.count()));
    if (ends[0].revents != 0) out_open = take(out.read.get(), result.out);
    if (ends[1].revents != 0) err_open = take(err.read.get(), result.err);
  }
  if (late) ::kill(-child, SIGKILL);
  result.exit_code = wait_for_exit(child);
  if (late) result.err += fmt::format("{}: no answer in {:g} s", words[0], timeout_seconds);
  return result;
}

}  // namespace assay
