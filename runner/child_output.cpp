#include "runner/child_output.h"

#include "core/error.h"
#include "runner/pipe.h"
#include "runner/spawn.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace assay {

ChildOutput::ChildOutput(const std::vector<std::string>& command,
                         std::vector<std::string> environment) {
  Pipe pipe = make_pipe();
  output_ = std::move(pipe.read);
  const int code = spawn(command, std::move(environment), pipe.write.get(), STDERR_FILENO, pid_);
  if (code != 0) throw ConfigError("{}: cannot be executed: {}", command[0], std::strerror(code));
}

ChildOutput::~ChildOutput() { end(); }

std::optional<std::string> ChildOutput::next_line(std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const std::size_t size = buffer_.find('\n');
    if (size != std::string::npos) {
      std::string line = buffer_.substr(0, size);
      buffer_.erase(0, size + 1);
      return line;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd descriptor{output_.get(), POLLIN, 0};
    const int ready =
        ::poll(&descriptor, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    std::array<char, 4096> bytes{};
    const ssize_t count = ::read(output_.get(), bytes.data(), bytes.size());
    if (count <= 0) return std::nullopt;
    buffer_.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

std::optional<nlohmann::json> ChildOutput::next_object(
    std::chrono::steady_clock::time_point deadline) {
  while (const auto line = next_line(deadline)) {
    auto said = nlohmann::json::parse(*line, nullptr, /*allow_exceptions=*/false);
    if (said.is_object()) return said;
    fmt::print(stderr, "{}\n", *line);
  }
  return std::nullopt;
}

int ChildOutput::end() {
  if (ended_) return *ended_;
  // One that has closed its output is about to go by itself.
  pollfd descriptor{output_.get(), POLLIN, 0};
  const bool closed = ::poll(&descriptor, 1, 0) > 0 && (descriptor.revents & POLLHUP) != 0;
  if (!closed) ::kill(-pid_, SIGKILL);
  ended_ = wait_for_exit(pid_);
  ::kill(-pid_, SIGKILL);  // Whoever of its group is left.
  return *ended_;
}

}  // namespace assay
