// Beats and what is read from them; slots; requests to a coordinator; time estimates.

#include "core/error.h"
#include "runner/beat.h"
#include "runner/cancel_requests.h"
#include "runner/hang_watch.h"
#include "runner/process.h"
#include "runner/slots.h"
#include "runner/time_estimate.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

TEST(Beat, SaysWhichCallARankIsIn) {
  const TemporaryFolder folder;
  Beat beat(folder.path(), 1);
  beat.enter("all_gather");
  beat.leave();
  beat.enter("all_reduce");
  const std::vector<RankBeat> beats = read_beats(folder.path());
  ASSERT_THAT(beats, SizeIs(1));
  EXPECT_EQ(beats[0].rank, 1);
  EXPECT_EQ(beats[0].host, this_process().host);
  EXPECT_EQ(beats[0].pid, ::getpid());
  EXPECT_EQ(beats[0].operation, "all_reduce");
  EXPECT_EQ(beats[0].sequence, 2U);
  EXPECT_EQ(beats[0].ticks, 3U);
  EXPECT_FALSE(beats[0].stopped);
}

TEST(Beat, BeginsAnewWithTheNextJob) {
  const TemporaryFolder folder;
  Beat beat(folder.path(), 0);
  beat.enter("all_reduce");
  beat.start_job();
  EXPECT_EQ(read_beats(folder.path()).at(0).operation, "computing");
  EXPECT_EQ(read_beats(folder.path()).at(0).sequence, 0U);
}

RankBeat rank_beat(int rank, std::string operation, std::uint64_t sequence) {
  return {.rank = rank,
          .host = "node7",
          .pid = 100 + rank,
          .operation = std::move(operation),
          .sequence = sequence};
}

TEST(HangWatch, TheRankThatOthersWaitForIsNamed) {
  const std::vector<RankBeat> beats = {rank_beat(0, "all_reduce", 57),
                                       rank_beat(1, "computing", 56),
                                       rank_beat(2, "all_reduce", 57)};
  EXPECT_EQ(describe_hang(beats), "rank 1 on node7 (process 101): computing, operation 56");
}

TEST(HangWatch, AStoppedRankIsNamedWhereverItStands) {
  std::vector<RankBeat> beats = {rank_beat(0, "all_reduce", 57), rank_beat(1, "all_reduce", 57)};
  beats[1].stopped = true;
  EXPECT_EQ(describe_hang(beats),
            "rank 1 on node7 (process 101, stopped): all_reduce, operation 57");
}

TEST(HangWatch, CountsOnlyTimeInWhichItLookedItself) {
  HangWatch watch;
  std::vector<RankBeat> beats = {rank_beat(0, "all_reduce", 1)};
  watch.restart(0);
  for (int second = 1; second <= 40; ++second)
    static_cast<void>(watch.seconds_still(beats, second));
  EXPECT_EQ(watch.seconds_still(beats, 41), 40);
  EXPECT_LE(watch.seconds_still(beats, 4000), 45) << "the observer itself was held";
  beats[0].ticks = 1;
  EXPECT_EQ(watch.seconds_still(beats, 4001), 0);
}

TEST(Slots, EachIsACoreOfItsOwnWhereThereAreEnough) {
  EXPECT_THAT(local_slots(2, {3, 5, 7}), ElementsAre(Slot{.core = 3}, Slot{.core = 5}));
  EXPECT_THAT(local_slots(2, {3}), ElementsAre(Slot{}, Slot{}));
}

TEST(Slots, TwoCoordinatorsDoNotClaimTheSameCores) {
  const TemporaryFolder folder;
  const CoreClaim first(2, {3, 5, 7}, folder.path());
  EXPECT_THAT(first.cores(), ElementsAre(3, 5));
  EXPECT_THAT(CoreClaim(2, {3, 5, 7}, folder.path()).cores(), IsEmpty()) << "one is left";
  EXPECT_THAT(CoreClaim(1, {3, 5, 7}, folder.path()).cores(), ElementsAre(7));
  EXPECT_THAT(CoreClaim(1, {3, 5, 7}, folder.path()).cores(), ElementsAre(7)) << "given back";
}

TEST(Slots, AGangGetsThemOfOneHostWhereItFits) {
  const Slot a0{.host = "a", .core = 0}, a1{.host = "a", .core = 1}, b0{.host = "b", .core = 0};
  SlotPool pool({a0, b0, a1});
  EXPECT_EQ(pool.take(0, 2), (std::vector<Slot>{a0, a1}));
  EXPECT_EQ(pool.take(1, 2), std::nullopt);
  EXPECT_EQ(pool.take(1, 1), std::vector<Slot>{b0});
  pool.give_back(0);
  pool.give_back(1);
  EXPECT_THAT(pool.take(2, 3).value(), ElementsAre(a0, b0, a1));
}

TEST(Slots, AHostfileIsReadAsOpenMpiReadsIt) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "hosts", "# two nodes\nnode1 slots=2\n\nnode2   # one\n");
  EXPECT_THAT(read_hostfile(folder / "hosts"),
              ElementsAre(Slot{.host = "node1", .core = 0}, Slot{.host = "node1", .core = 1},
                          Slot{.host = "node2", .core = 0}));
  write_file_atomically(folder / "hosts", "node1 slots=2\nnode2 slots=two\n");
  EXPECT_THAT([&] { static_cast<void>(read_hostfile(folder / "hosts")); },
              ThrowsMessage<ConfigError>(HasSubstr("hosts:2: 'slots=two' is no number of slots")));
}

TEST(CancelRequests, AreTakenOnceAndWhatIsNoneIsDropped) {
  const TemporaryFolder folder;
  const Workspace workspace{folder.path()};
  EXPECT_THAT(take_cancel_requests(workspace), IsEmpty());
  request_cancel(workspace, {.all = false, .jobs = {"abc"}});
  write_file_atomically(workspace.cancel() / "x.json", "what?");
  const std::vector<CancelRequest> requests = take_cancel_requests(workspace);
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_FALSE(requests[0].all);
  EXPECT_THAT(requests[0].jobs, ElementsAre("abc"));
  EXPECT_TRUE(std::filesystem::is_empty(workspace.cancel()));
}

TEST(TimeEstimate, CountsMeasuredClassesAndGuessesTheOthers) {
  TimeEstimate estimate({{"train", 2.0}});
  estimate.add("train", 10);
  estimate.add("train", 10);
  estimate.add("evaluate", 5);
  EXPECT_EQ(estimate.seconds_left({}, 2), (20 + 20 + 20) / 2) << "an unknown job is a mean one";
  estimate.measure("evaluate", 5, 4);
  EXPECT_EQ(estimate.seconds_left({}, 1), 20 + 20 + 4);
  estimate.remove("train", 10);
  EXPECT_EQ(estimate.seconds_left(
                {{.cost_class = "train", .work = 10, .seconds = 5, .fraction = 0.5}}, 1),
            20 + 4 + 5);
  EXPECT_EQ(TimeEstimate().seconds_left({}, 1), std::nullopt);
}

}  // namespace
}  // namespace assay
