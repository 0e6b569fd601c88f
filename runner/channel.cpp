#include "runner/channel.h"

#include "core/digest.h"
#include "core/error.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <span>
#include <stdexcept>

namespace assay {
namespace {

constexpr std::size_t kHexDigits = 16;
constexpr std::size_t kQuotedBytes = 120;  // Of a bad line, in the error.

std::string checksum(std::uint64_t sequence, std::string_view body) {
  const std::string covered = fmt::format("{}:{}", sequence, body);
  return fmt::format("{:016x}", xxh3(std::as_bytes(std::span(covered))));
}

std::string quote(std::string_view line) {
  std::string text;
  for (const char c : line.substr(0, kQuotedBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return line.size() > kQuotedBytes ? text + "..." : text;
}

[[noreturn]] void refuse(std::string_view line, std::string_view why) {
  throw CommError(
      "control channel: {}: '{}'; a library that prints to standard output, or damaged "
      "forwarding by mpirun",
      why, quote(line));
}

}  // namespace

std::string encode_message(std::uint64_t sequence, const nlohmann::json& message) {
  const std::string body = message.dump();
  std::string line = fmt::format("[{},\"{}\",{}]\n", sequence, checksum(sequence, body), body);
  if (line.size() > kMaxLineBytes) {
    throw std::invalid_argument(
        fmt::format("a message of {} bytes; the channel takes {}", line.size(), kMaxLineBytes));
  }
  return line;
}

void MessageWriter::send(const nlohmann::json& message) {
  const std::string line = encode_message(sequence_ + 1, message);
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t count = ::write(descriptor_, line.data() + done, line.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw CommError("control channel: the peer is gone: {}", std::strerror(errno));
    done += static_cast<std::size_t>(count);
  }
  ++sequence_;
}

void MessageReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    partial_ += bytes.substr(0, end);
    if (partial_.size() >= kMaxLineBytes) refuse(partial_, "a line is too long");
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    take_line(std::exchange(partial_, {}));
  }
}

void MessageReader::take_line(std::string_view line) {
  std::uint64_t sequence = 0;
  const char* const last = line.data() + line.size();
  const bool opens = line.starts_with('[') && line.ends_with(']');
  if (!opens) refuse(line, "a foreign line");
  const auto [number_end, error] = std::from_chars(line.data() + 1, last, sequence);
  const std::string_view rest(number_end, last);
  if (error != std::errc() || rest.size() < kHexDigits + 5 || !rest.starts_with(",\"") ||
      rest.substr(2 + kHexDigits, 2) != "\",") {
    refuse(line, "a foreign line");
  }
  const std::string_view body = rest.substr(kHexDigits + 4, rest.size() - kHexDigits - 5);
  if (rest.substr(2, kHexDigits) != checksum(sequence, body)) refuse(line, "a damaged line");
  if (sequence != sequence_ + 1) {
    refuse(line, fmt::format("message {} where {} was due", sequence, sequence_ + 1));
  }
  sequence_ = sequence;
  messages_.push_back(nlohmann::json::parse(body));
}

std::optional<nlohmann::json> MessageReader::next() {
  if (messages_.empty()) return std::nullopt;
  nlohmann::json message = std::move(messages_.front());
  messages_.pop_front();
  return message;
}

}  // namespace assay
