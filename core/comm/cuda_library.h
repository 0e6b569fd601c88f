#pragma once

#include "core/comm/cuda_backend.h"

#include <filesystem>
#include <memory>

namespace assay {

/// Loads `libassay_cuda.so` from `folder`, by default that of the running program. Throws
/// ConfigError, saying what to install, where this build has none or a library that it needs is
/// missing.
[[nodiscard]] std::unique_ptr<CudaBackend> load_cuda_backend(
    const std::filesystem::path& folder = {});

/// Loads the CUDA half of LibTorch, by default from beside the CPU half that this program runs
/// with. To be called before the first tensor is made on a GPU, and before any other thread uses
/// LibTorch. Throws ConfigError where a library is missing or brings no CUDA.
void load_torch_cuda(const std::filesystem::path& folder = {});

}  // namespace assay
