#pragma once

#include "runner/compute_device.h"

#include <functional>
#include <string>

namespace assay {

/// One thing that `assay doctor --gpus` tried.
struct GpuFinding {
  std::string what;
  bool good = true;
  std::string found;
};

/// Compares a device with the CPU, on the backbone that comes with the sources: sums over the ranks
/// through `jobs` against `host`, encoded images and training steps in every precision that the
/// device has. `report` is called on every rank alike, after each. Seconds, of which most go into
/// the CPU's part. A collective call; throws JobError on every rank alike.
void check_device(const ComputeDevice& device,
                  Communicator& host,
                  Communicator& jobs,
                  const std::function<void(const GpuFinding&)>& report);

}  // namespace assay
