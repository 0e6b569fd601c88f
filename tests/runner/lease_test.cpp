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

namespace assay {
namespace {

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

TEST(WorkspaceLease, OfAnotherHostWhoseBeatStandsStillIsTakenOver) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "w/lease.json", lease_of_another_host().dump());
  EXPECT_NO_THROW(WorkspaceLease(folder / "w", "next", std::chrono::milliseconds(20)));
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
