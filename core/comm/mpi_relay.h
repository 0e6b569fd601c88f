#pragma once

#include "core/file.h"

#include <memory>

namespace assay {

/// Pipes between processes of one MPI world: what one rank writes into its end, another reads from
/// its own, whatever hosts they are on.
///
/// A thread of its own serves each, looking every few milliseconds, so that the ranks' other
/// communication does not notice. Needs MPI_THREAD_MULTIPLE.
class MpiRelays {
 public:
  /// A collective call of all ranks of the world. Throws CommError where MPI did not grant
  /// MPI_THREAD_MULTIPLE.
  MpiRelays();
  /// Waits until every relay has ended.
  ~MpiRelays();
  MpiRelays(const MpiRelays&) = delete;
  MpiRelays& operator=(const MpiRelays&) = delete;

  /// From now on what can be read from `in` goes to rank `peer` of the world, which connects to
  /// this one, and what comes from there is written to `out`. The end of `in` closes the peer's
  /// `out`. At most one relay between two ranks.
  void connect(int peer, Descriptor in, Descriptor out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay
