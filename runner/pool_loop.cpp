#include "runner/pool_loop.h"

#include "core/comm/mpi_relay.h"
#include "core/error.h"
#include "runner/gang_rank.h"
#include "runner/gang_scratch.h"
#include "runner/pipe.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>

namespace assay {
namespace {

/// Connects the gangs' leaders to the world's rank 0, which has the channels. What this rank has of
/// its own gang's.
ControlDescriptors connect(const PoolRank& pool, const LaunchedRank& launched, MpiRelays& relays) {
  if (launched.rank == 0) {
    for (std::size_t gang = 1; gang < pool.hear.size(); ++gang) {
      relays.connect(static_cast<int>(gang) * pool.ranks, Descriptor(pool.hear[gang]),
                     Descriptor(pool.tell.at(gang)));
    }
    return {Descriptor(pool.hear.at(0)), Descriptor(pool.tell.at(0))};
  }
  if (launched.rank % pool.ranks != 0) return {};
  Pipe input = make_pipe(), events = make_pipe();
  relays.connect(0, std::move(events.read), std::move(input.write));
  return {std::move(input.read), std::move(events.write)};
}

}  // namespace

int run_pool(const PoolRank& pool, const RunJob& run_job) {
  const LaunchedRank launched = launched_rank();
  ::signal(SIGPIPE, SIG_IGN);
  const int number = launched.rank / pool.ranks;
  const GangRank gang{.folder = pool.folder / std::to_string(number),
                      .ranks = pool.ranks,
                      .cores = {},
                      .devices = {},
                      .facts = pool.facts,
                      .job_communicator = pool.job_communicator};
  const RankScratch scratch(gang.folder);
  std::optional<MpiSession> mpi;
  return guard_gang(launched, mpi, [&] {
    // First: until rank 0 is there, its coordinator may be ending what a former one has left.
    mpi.emplace();
    static_cast<void>(start_rank(gang.folder, launched.rank % pool.ranks));
    pool.open_devices(*mpi->world());
    const auto comm = mpi->split(number);
    MpiRelays relays;
    const ControlDescriptors control = connect(pool, launched, relays);
    serve_gang(gang, *comm, control, run_job);
  });
}

}  // namespace assay
