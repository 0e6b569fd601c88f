#pragma once

#include "core/error.h"

#include <cuda_runtime.h>

#include <string_view>

namespace assay {

/// Throws CommError with CUDA's words where `code` is no success.
inline void cuda_check(cudaError_t code, std::string_view call) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // Else the next call would report it again.
  throw CommError("{} failed: {} ({})", call, cudaGetErrorString(code), cudaGetErrorName(code));
}

}  // namespace assay
