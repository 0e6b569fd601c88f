#pragma once

#include "core/file.h"

#include <chrono>
#include <optional>

namespace assay {

/// SIGINT, SIGTERM and SIGHUP as something to poll for, for as long as this object lives. Signals
/// that the caller ignores (`nohup`, a background job) stay ignored. The end of the time that there
/// is counts as a first signal.
class Interrupts {
 public:
  /// `time_left`: until work must stop; nothing where there is no limit.
  explicit Interrupts(std::optional<std::chrono::seconds> time_left = std::nullopt);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  /// How many signals have come in all.
  [[nodiscard]] int count();
  /// Whether the time is over.
  [[nodiscard]] bool out_of_time() const { return out_of_time_; }

 private:
  Descriptor descriptor_;
  int count_ = 0;
  bool out_of_time_ = false;
};

}  // namespace assay
