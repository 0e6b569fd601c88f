#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace assay {

// The control channel between coordinator and rank 0 of a gang (`design.md` 3): one message a
// line, each line itself JSON,
//
//   [<sequence number>,"<XXH3 of number and message, 16 hex digits>",<message>]
//
// over the pipes that mpirun and srun forward. Forwarded input has been seen damaged and libraries
// print where they like, so a line that is not the next one of the peer is an error with a name,
// never a message. What is long (a spec, a result) goes by file and digest.

/// Longest line, newline included: a page of a pipe's buffer, so that it travels in one piece.
inline constexpr std::size_t kMaxLineBytes = 4096;

/// The line of message number `sequence`, newline included.
/// Throws std::invalid_argument where it would be longer than kMaxLineBytes.
[[nodiscard]] std::string encode_message(std::uint64_t sequence, const nlohmann::json& message);

/// Sends messages 1, 2, ... to a descriptor, which the caller owns.
class MessageWriter {
 public:
  explicit MessageWriter(int descriptor) : descriptor_(descriptor) {}

  /// Returns once the whole line is written. Throws CommError where the peer is gone (SIGPIPE must
  /// be ignored) and std::invalid_argument on a message that is too long.
  void send(const nlohmann::json& message);

 private:
  int descriptor_;
  std::uint64_t sequence_ = 0;
};

/// Takes bytes as they arrive, gives verified messages in order.
class MessageReader {
 public:
  /// Throws CommError, quoting the line, where one is damaged, foreign, too long or out of
  /// sequence; the peer cannot be trusted after that.
  void feed(std::string_view bytes);

  /// The next message, or nothing until more bytes arrive.
  [[nodiscard]] std::optional<nlohmann::json> next();

 private:
  void take_line(std::string_view line);

  std::string partial_;
  std::deque<nlohmann::json> messages_;
  std::uint64_t sequence_ = 0;
};

}  // namespace assay
