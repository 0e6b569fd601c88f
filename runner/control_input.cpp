#include "runner/control_input.h"

#include "core/error.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace assay {
namespace {

constexpr int kCoordinatorIsGone = 70;

}  // namespace

ControlInput::ControlInput(int descriptor) : thread_([this, descriptor] { read(descriptor); }) {}

// The thread ends with the channel, which the coordinator closes after `end`.
ControlInput::~ControlInput() { thread_.join(); }

nlohmann::json ControlInput::wait() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return !messages_.empty() || !error_.empty(); });
  if (messages_.empty()) throw CommError("{}", error_);
  nlohmann::json message = std::move(messages_.front());
  messages_.pop_front();
  return message;
}

bool ControlInput::cancelled(const std::string& job) {
  const std::lock_guard lock(mutex_);
  return cancelled_.contains(job);
}

void ControlInput::read(int descriptor) {
  MessageReader reader;
  std::array<char, kMaxLineBytes> buffer{};
  bool ended = false;
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    try {
      reader.feed({buffer.data(), static_cast<std::size_t>(count)});
    } catch (const CommError& error) {
      const std::lock_guard lock(mutex_);
      error_ = error.what();
      arrived_.notify_all();
      return;
    }
    while (auto message = reader.next()) {
      if (message->value("do", "") == "stop") {
        stop_ = true;
        continue;
      }
      if (message->value("do", "") == "cancel") {
        const std::lock_guard lock(mutex_);
        cancelled_.insert(message->value("job", ""));
        continue;
      }
      ended = ended || message->value("do", "") == "end";
      const std::lock_guard lock(mutex_);
      messages_.push_back(std::move(*message));
      arrived_.notify_all();
    }
  }
  if (ended) return;
  std::fputs("the coordinator is gone: this gang ends\n", stderr);
  std::fflush(stderr);
  std::_Exit(kCoordinatorIsGone);
}

}  // namespace assay
