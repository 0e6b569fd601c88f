#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <vector>

namespace assay {

/// Waits until `device` has done what it was given.
void synchronise(at::Device device);

/// How long single runs of some work take, each to the end of what it gave the device.
class Stopwatch {
 public:
  explicit Stopwatch(at::Device device) : device_(device) {}

  /// The next run begins.
  void start();
  /// It has ended; `counts` false: a warm-up.
  void stop(bool counts = true);
  /// Both around `work`.
  template <typename Work>
  void time(Work work, bool counts = true) {
    start();
    work();
    stop(counts);
  }

  [[nodiscard]] const std::vector<double>& milliseconds() const { return milliseconds_; }

 private:
  at::Device device_;
  std::chrono::steady_clock::time_point started_;
  std::vector<double> milliseconds_;
};

}  // namespace assay
