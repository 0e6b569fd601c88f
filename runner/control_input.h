#pragma once

#include "runner/channel.h"

#include <nlohmann/json.hpp>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace assay {

/// Rank 0's side of what the coordinator says, read by a thread of its own so that it is heard
/// while a job runs.
///
/// The channel's end without a message `end` before it means that the coordinator is dead: the
/// process ends at once, and mpirun ends its peers.
class ControlInput {
 public:
  /// Reads from `descriptor`, which the caller owns, until it ends.
  explicit ControlInput(int descriptor);
  ~ControlInput();
  ControlInput(const ControlInput&) = delete;
  ControlInput& operator=(const ControlInput&) = delete;

  /// The next `run` or `end`. Throws CommError on a damaged line.
  [[nodiscard]] nlohmann::json wait();

  /// Whether `stop` has come: a running job keeps its state and ends.
  [[nodiscard]] bool stop_requested() const { return stop_; }
  /// Whether this job, which runs or is next, is not wanted any more.
  [[nodiscard]] bool cancelled(const std::string& job);

 private:
  void read(int descriptor);

  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<nlohmann::json> messages_;
  std::set<std::string> cancelled_;
  std::string error_;
  std::thread thread_;
};

}  // namespace assay
