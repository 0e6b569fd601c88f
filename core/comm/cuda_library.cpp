#include "core/comm/cuda_library.h"

#include "core/error.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <dlfcn.h>

namespace assay {
namespace {

constexpr const char* kSetup =
    "run tools/setup.sh on this machine, which then fetches all of CUDA's libraries, and build "
    "again";

void* open_library(const std::filesystem::path& path, int flags) {
  // Never closed: neither CUDA nor LibTorch can be unloaded.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | flags);
  if (library == nullptr) {
    throw ConfigError("{}: cannot be loaded: {}; {}", path.string(), ::dlerror(), kSetup);
  }
  return library;
}

/// Folder of the library that holds at::globalContext.
std::filesystem::path folder_of_torch() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&at::globalContext), &info) == 0) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

}  // namespace

std::unique_ptr<CudaBackend> load_cuda_backend(const std::filesystem::path& folder) {
  const std::filesystem::path beside =
      folder.empty() ? std::filesystem::read_symlink("/proc/self/exe").parent_path() : folder;
  const std::filesystem::path path = beside / "libassay_cuda.so";
  if (!std::filesystem::exists(path)) {
    throw ConfigError(
        "{}: not there: this build has no CUDA library, because cuda_runtime.h and nccl.h were not "
        "found; install the CUDA toolkit and NCCL (or run tools/setup.sh on a machine with a GPU) "
        "and build again",
        path.string());
  }
  void* library = open_library(path, RTLD_LOCAL);
  void* symbol = ::dlsym(library, kCudaBackendSymbol);
  if (symbol == nullptr) {
    throw ConfigError("{}: is of another version of assay; build again", path.string());
  }
  return std::unique_ptr<CudaBackend>(reinterpret_cast<MakeCudaBackend>(symbol)());
}

void load_torch_cuda(const std::filesystem::path& folder) {
  const std::filesystem::path from = folder.empty() ? folder_of_torch() : folder;
  for (const char* name : {"libc10_cuda.so", "libtorch_cuda.so"}) {
    const std::filesystem::path path = from / name;
    if (!std::filesystem::exists(path)) {
      throw ConfigError("{}: not there: this LibTorch is one without CUDA; {}", path.string(),
                        kSetup);
    }
    open_library(path, RTLD_GLOBAL);
  }
  if (!at::Context::hasCUDART()) {  // hasCUDA asks for a GPU too.
    throw ConfigError("{}: was loaded and brings no CUDA to LibTorch; {}",
                      (from / "libtorch_cuda.so").string(), kSetup);
  }
}

}  // namespace assay
