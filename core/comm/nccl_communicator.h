#pragma once

#include "core/comm/communicator.h"

#include <memory>

namespace assay {

/// What CudaBackend::communicator returns.
[[nodiscard]] std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host,
                                                                   int gpu,
                                                                   double timeout_seconds);

}  // namespace assay
