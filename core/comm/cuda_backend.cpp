#include "core/comm/cuda_backend.h"

#include "core/comm/cuda_check.h"
#include "core/comm/nccl_communicator.h"

#include <nccl.h>

#include <cstdlib>
#include <optional>

namespace assay {
namespace {

/// As nvidia-smi writes it.
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

class Backend final : public CudaBackend {
 public:
  [[nodiscard]] std::string versions() const override {
    int nccl = 0;
    ncclGetVersion(&nccl);
    return fmt::format("CUDA {}, driver {}, NCCL {}.{}.{}", cuda_version_text(runtime_version()),
                       cuda_version_text(driver_version()), nccl / 10000, nccl % 10000 / 100,
                       nccl % 100);
  }

  [[nodiscard]] int cuda_version() const override { return runtime_version(); }

  [[nodiscard]] std::vector<Gpu> gpus() const override {
    int count = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess || count == 0) {
      static_cast<void>(cudaGetLastError());
      const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
      throw ConfigError(
          "{}",
          why_no_gpu(driver_version(), runtime_version(), code == cudaErrorInsufficientDriver,
                     cudaGetErrorString(code),
                     visible == nullptr ? std::nullopt : std::optional<std::string>(visible)));
    }
    std::vector<Gpu> gpus;
    for (int index = 0; index < count; ++index) {
      cudaDeviceProp properties{};
      cuda_check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
      gpus.push_back({.name = properties.name,
                      .uuid = uuid_text(properties.uuid),
                      .memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem),
                      .major = properties.major,
                      .minor = properties.minor});
    }
    return gpus;
  }

  void select(int gpu) const override { cuda_check(cudaSetDevice(gpu), "cudaSetDevice"); }

  [[nodiscard]] std::unique_ptr<Communicator> communicator(Communicator& host,
                                                           int gpu,
                                                           double timeout_seconds) const override {
    return make_nccl_communicator(host, gpu, timeout_seconds);
  }

 private:
  static int runtime_version() {
    int version = 0;
    cuda_check(cudaRuntimeGetVersion(&version), "cudaRuntimeGetVersion");
    return version;
  }
  static int driver_version() {
    int version = 0;  // Stays 0 where there is no driver.
    cuda_check(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
    return version;
  }
};

}  // namespace
}  // namespace assay

extern "C" __attribute__((visibility("default"))) assay::CudaBackend* assay_cuda_backend_v1() {
  return new assay::Backend;
}
