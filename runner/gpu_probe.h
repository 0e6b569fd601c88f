#pragma once

#include "core/gpu.h"
#include "runner/study.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// The GPUs that assay-worker sees and can use.
struct GpuProbe {
  std::vector<Gpu> gpus;  ///< At least one, unless nothing was asked for.
  std::vector<std::string>
      selectors;         ///< Values of CUDA_VISIBLE_DEVICES, one for each to give out.
  std::string versions;  ///< Of CUDA, driver and NCCL.
};

/// Asks `worker` in a process of its own, since CUDA is nothing that `assay` loads. Throws
/// ConfigError with the worker's reason where there is none, or it says nothing until `deadline`.
[[nodiscard]] GpuProbe probe_gpus(const std::filesystem::path& worker,
                                  std::chrono::steady_clock::time_point deadline);

/// What a study finds on `device`: nothing for `cpu`. Throws ConfigError, before anything runs,
/// where there is no such device or it lacks a precision that the study asks for.
[[nodiscard]] GpuProbe gpus_for(const Study& study,
                                const std::string& device,
                                const std::filesystem::path& worker);

/// Throws ConfigError unless `selectors` are enough for `slots` ranks in gangs of `ranks`, of which
/// `gangs_per_gpu` may share a GPU.
void check_gpu_count(const std::vector<std::string>& selectors,
                     int ranks,
                     int slots,
                     int gangs_per_gpu);

}  // namespace assay
