#pragma once

#include "core/file.h"

namespace assay {

/// SIGINT, SIGTERM and SIGHUP as something to poll for, for as long as this object lives. Signals
/// that the caller ignores (`nohup`, a background job) stay ignored.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  /// How many signals have come in all.
  [[nodiscard]] int count();

 private:
  Descriptor descriptor_;
  int count_ = 0;
};

}  // namespace assay
