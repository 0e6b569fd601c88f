#include "runner/lease.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/process.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(WorkspaceLease, ASecondCoordinatorIsToldWhoHoldsTheWorkspace) {
  const TemporaryFolder folder;
  const WorkspaceLease lease(folder / "w", "assay run k.toml");
  EXPECT_THAT(
      [&] { WorkspaceLease(folder / "w", "assay run j.toml"); },
      ThrowsMessage<BusyError>(HasSubstr(fmt::format("held by process {} on ", ::getpid()))));
  EXPECT_THAT(lease_holder(folder / "w"), HasSubstr("assay run k.toml"));
}

TEST(WorkspaceLease, IsGivenBackAtTheEnd) {
  const TemporaryFolder folder;
  { const WorkspaceLease first(folder / "w", "first"); }
  EXPECT_EQ(lease_holder(folder / "w"), "");
  EXPECT_NO_THROW(WorkspaceLease(folder / "w", "second"));
}

TEST(WorkspaceLease, OfAKilledCoordinatorIsTakenOver) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const WorkspaceLease lease(folder / "w", "doomed");
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(WorkspaceLease(folder / "w", "next"));
}

nlohmann::json lease_of_another_host() {
  nlohmann::json lease = to_json(this_process());
  lease["host"] = "elsewhere";
  return lease;
}

/// A clock that only a test moves; `at` what happens in the meantime.
struct FakeTime {
  double now = 5000;
  std::function<void(double now)> at = [](double) {};
  std::vector<std::string> said = {};

  LeaseObserver observer() {
    return {.now = [this] { return now; },
            .sleep =
                [this](double seconds) {
                  now += seconds;
                  at(now);
                },
            .say = [this](const std::string& line) { said.push_back(line); }};
  }
};

TEST(WorkspaceLease, OfAnotherHostWhoseBeatStandsStillFor60SecondsIsTakenOver) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "w/lease.json", lease_of_another_host().dump());
  FakeTime time;
  const WorkspaceLease lease(folder / "w", "next", time.observer());
  EXPECT_EQ(time.now, 5060);
  EXPECT_THAT(time.said, ElementsAre(HasSubstr("on elsewhere")));
  EXPECT_THAT(lease_holder(folder / "w"), HasSubstr("next"));
}

TEST(WorkspaceLease, OfAnotherHostThatBeatsIsKeptWhateverItsClockSays) {
  const TemporaryFolder folder;
  nlohmann::json lease = lease_of_another_host();
  lease["since"] = "1970-01-01 00:00:00";
  lease["beat"] = 7;
  write_file_atomically(folder / "w/lease.json", lease.dump());
  FakeTime time;
  time.at = [&](double now) {
    if (now != 5059) return;
    lease["beat"] = 6;  // Even a beat that goes back is one.
    write_file_atomically(folder / "w/lease.json", lease.dump());
  };
  EXPECT_THAT([&] { WorkspaceLease(folder / "w", "next", time.observer()); },
              ThrowsMessage<BusyError>(HasSubstr("on elsewhere")));
  EXPECT_EQ(lease_holder(folder / "w").find("next"), std::string::npos);
}

TEST(WorkspaceLease, OfAnotherHostThatIsGivenBackIsTakenAtOnce) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "w/lease.json", lease_of_another_host().dump());
  FakeTime time;
  time.at = [&](double now) {
    if (now == 5010) std::filesystem::remove(folder / "w/lease.json");
  };
  const WorkspaceLease lease(folder / "w", "next", time.observer());
  EXPECT_EQ(time.now, 5010);
}

TEST(WorkspaceLease, AHolderThatWasHeldUpTooLongNoticesThatItHasLostIt) {
  const TemporaryFolder folder;
  FakeTime time;
  WorkspaceLease lease(folder / "w", "sleeper", time.observer());
  time.now += 9;
  EXPECT_NO_THROW(lease.beat());
  write_file_atomically(folder / "w/lease.json", lease_of_another_host().dump());
  time.now += 2;
  EXPECT_THAT([&] { lease.beat(); }, ThrowsMessage<BusyError>(HasSubstr("taken over by process")));
  EXPECT_TRUE(std::filesystem::exists(folder / "w/lease.json")) << "another's, and not removed";
}

TEST(WorkspaceLease, AFileInTheWayIsNamed) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "w", "a file");
  EXPECT_THAT([&] { WorkspaceLease(folder / "w", "x"); },
              ThrowsMessage<DataError>(HasSubstr("is not a folder")));
}

TEST(Process, ANumberThatBelongsToALaterProcessIsNotAlive) {
  ProcessIdentity process = this_process();
  EXPECT_EQ(is_alive(process), true);
  process.start_time -= 1;
  EXPECT_EQ(is_alive(process), false);
  process.host = "elsewhere";
  EXPECT_EQ(is_alive(process), std::nullopt);
}

TEST(Process, EndsTheVeryRanksThatAreRecorded) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    std::_Exit(0);
  }
  write_file_atomically(folder / "rank0.json", to_json(find_process(child).value()).dump());
  ProcessIdentity innocent = this_process();
  innocent.start_time -= 1;
  write_file_atomically(folder / "rank1.json", to_json(innocent).dump());
  end_recorded_ranks(folder.path());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

}  // namespace
}  // namespace assay
