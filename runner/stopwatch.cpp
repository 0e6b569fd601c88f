#include "runner/stopwatch.h"

#include <ATen/ATen.h>

namespace assay {

void synchronise(at::Device device) {
  // To read what is computed last is to wait for all before it.
  if (!device.is_cpu()) (void)at::zeros({1}, device).item<float>();
}

void Stopwatch::start() {
  synchronise(device_);
  started_ = std::chrono::steady_clock::now();
}

void Stopwatch::stop(bool counts) {
  synchronise(device_);
  const std::chrono::duration<double, std::milli> passed =
      std::chrono::steady_clock::now() - started_;
  if (counts) milliseconds_.push_back(passed.count());
}

}  // namespace assay
