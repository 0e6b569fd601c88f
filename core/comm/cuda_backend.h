#pragma once

#include "core/comm/communicator.h"
#include "core/gpu.h"

#include <memory>
#include <string>
#include <vector>

namespace assay {

/// All that needs the headers of CUDA or NCCL: implemented in `libassay_cuda.so`, which is loaded
/// when a GPU is asked for (core/comm/cuda_library.h).
class CudaBackend {
 public:
  virtual ~CudaBackend() = default;

  /// What runs: `CUDA 13.0, driver 13.0, NCCL 2.28.9`.
  [[nodiscard]] virtual std::string versions() const = 0;
  /// Of CUDA's run time, as CUDA counts: 13000.
  [[nodiscard]] virtual int cuda_version() const = 0;

  /// The GPUs that this process sees, at least one. Throws ConfigError with the reason: no driver,
  /// one that is too old, none visible.
  [[nodiscard]] virtual std::vector<Gpu> gpus() const = 0;

  /// Makes `gpu` (an index of `gpus()`) the current one of the calling thread.
  virtual void select(int gpu) const = 0;

  /// The ranks of `host`, which outlives it, each with its own GPU: tensors on it are reduced by
  /// NCCL; tensors and bytes on the CPU go through `host`. Calls return when the result is there.
  /// A peer that does not come within `timeout_seconds`, or an error that NCCL reports meanwhile,
  /// is a CommError; the communicator is then aborted and cannot be used again. A collective call.
  [[nodiscard]] virtual std::unique_ptr<Communicator> communicator(
      Communicator& host, int gpu, double timeout_seconds) const = 0;
};

/// How long a rank waits for its peers in a collective call of NCCL.
inline constexpr double kNcclTimeoutSeconds = 600;

/// The one symbol of the library: `extern "C" CudaBackend* assay_cuda_backend_v1()`, the caller
/// owns the result. Another interface has another number.
inline constexpr const char* kCudaBackendSymbol = "assay_cuda_backend_v1";
using MakeCudaBackend = CudaBackend* (*)();

}  // namespace assay
