#include "runner/channel.h"

#include "core/error.h"
#include "core/file.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <thread>

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string two_messages() {
  return encode_message(1, {{"event", "ready"}}) + encode_message(2, {{"loss", 0.1}});
}

TEST(Channel, GivesMessagesInOrderHoweverTheBytesArrive) {
  const std::string bytes = two_messages();
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    MessageReader reader;
    reader.feed(std::string_view(bytes).substr(0, cut));
    reader.feed(std::string_view(bytes).substr(cut));
    EXPECT_EQ(reader.next().value(), (nlohmann::json{{"event", "ready"}}));
    EXPECT_EQ(reader.next().value(), (nlohmann::json{{"loss", 0.1}}));
    EXPECT_FALSE(reader.next().has_value());
  }
}

TEST(Channel, EveryLineIsItselfJson) {
  const auto line = nlohmann::json::parse(encode_message(7, {{"a", "]\n\""}}));
  EXPECT_EQ(line[0], 7);
  EXPECT_EQ(line[2]["a"], "]\n\"");
}

TEST(Channel, NoByteOfALineCanChangeUnseen) {
  const std::string line = encode_message(1, {{"job", "3fa9"}, {"attempt", 2}});
  for (std::size_t i = 0; i + 1 < line.size(); ++i) {
    std::string damaged = line;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_THROW(MessageReader().feed(damaged), CommError) << damaged;
  }
}

TEST(Channel, NamesAForeignLine) {
  EXPECT_THAT([] { MessageReader().feed("[W init.cpp:12] Warning: no GPU\n"); },
              ThrowsMessage<CommError>(HasSubstr("a foreign line: '[W init.cpp:12]")));
}

TEST(Channel, NamesAMessageThatIsMissing) {
  EXPECT_THAT([] { MessageReader().feed(encode_message(2, {})); },
              ThrowsMessage<CommError>(HasSubstr("message 2 where 1 was due")));
}

TEST(Channel, RefusesALineWithoutEnd) {
  MessageReader reader;
  EXPECT_THAT([&] { reader.feed(std::string(kMaxLineBytes, 'x')); },
              ThrowsMessage<CommError>(HasSubstr("too long")));
}

TEST(Channel, RefusesToSendWhatBelongsInAFile) {
  EXPECT_THROW(static_cast<void>(encode_message(1, std::string(kMaxLineBytes, 'x'))),
               std::invalid_argument);
}

TEST(Channel, CarriesTenThousandMessagesPastASlowReader) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const Descriptor in(ends[0]);
  Descriptor out(ends[1]);
  std::thread sender([&] {
    MessageWriter writer(out.get());
    for (int i = 0; i < 10000; ++i) writer.send({{"i", i}, {"text", std::string(250, 'x')}});
    out.reset();
  });
  MessageReader reader;
  int received = 0;
  char buffer[701];
  for (ssize_t count = 0; (count = ::read(in.get(), buffer, sizeof buffer)) > 0;) {
    reader.feed({buffer, static_cast<std::size_t>(count)});
    while (const auto message = reader.next()) EXPECT_EQ((*message)["i"], received++);
  }
  sender.join();
  EXPECT_EQ(received, 10000);
}

TEST(Channel, SaysThatThePeerIsGone) {
  ::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  const Descriptor out(ends[1]);
  EXPECT_THAT([&] { MessageWriter(out.get()).send({}); },
              ThrowsMessage<CommError>(HasSubstr("the peer is gone")));
}

}  // namespace
}  // namespace assay
