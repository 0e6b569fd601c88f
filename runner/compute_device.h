#pragma once

#include "core/comm/cuda_backend.h"

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>

namespace assay {

/// What a rank computes on: the CPU, or one GPU.
struct ComputeDevice {
  at::Device device = at::kCPU;
  std::optional<Gpu> gpu = {};
  std::shared_ptr<const CudaBackend> backend = {};  ///< Where there is a GPU.

  /// `cpu`, or the GPU's name.
  [[nodiscard]] std::string name() const { return gpu ? gpu->name : "cpu"; }
};

/// Loads CUDA and takes a GPU for each rank (core/gpu.h, assign_gpus). To be called before anything
/// uses LibTorch. A collective call; throws ConfigError on every rank alike: no CUDA library in
/// this build, no driver or one that is too old, no or too few GPUs, LibTorch without CUDA or with
/// another one.
[[nodiscard]] ComputeDevice open_gpu(Communicator& host);

/// What jobs on `device` communicate over instead of `host`, which outlives it: NCCL where several
/// ranks have GPUs; else null, `host` does. A collective call.
[[nodiscard]] std::unique_ptr<Communicator> job_communicator(const ComputeDevice& device,
                                                             Communicator& host);

/// Sets how LibTorch computes float32 products from now on. Throws JobError where the device lacks
/// `precision`.
void use_precision(const ComputeDevice& device, const std::string& precision);

/// The dtype of products in `precision`, for Clip::move_to.
[[nodiscard]] at::ScalarType type_of_products(const std::string& precision);

}  // namespace assay
