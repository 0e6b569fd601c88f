// What --device cuda says on a machine without a GPU, and that what needs CUDA loads there.

#include "core/comm/cuda_library.h"

#include "core/error.h"
#include "tests/support/temporary_folder.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>

#include <fstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

bool has_gpu() { return std::filesystem::exists("/dev/nvidiactl"); }

TEST(CudaLibrary, SaysWhatToInstallWhereThisBuildHasNone) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { (void)load_cuda_backend(folder.path()); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("this build has no CUDA library"),
                                               HasSubstr("install the CUDA toolkit and NCCL"),
                                               HasSubstr("build again"))));
}

TEST(CudaLibrary, SaysWhichFileCannotBeLoadedAndWhy) {
  const TemporaryFolder folder;
  std::ofstream(folder / "libassay_cuda.so") << "no library";
  EXPECT_THAT([&] { (void)load_cuda_backend(folder.path()); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("libassay_cuda.so: cannot be loaded"),
                                               HasSubstr("tools/setup.sh"))));
}

TEST(CudaLibrary, LoadsWithoutAGpuAndSaysThatThereIsNone) {
  if (!std::filesystem::exists(std::filesystem::path(ASSAY_BINARY_DIR) / "libassay_cuda.so")) {
    GTEST_SKIP() << "this build has no CUDA library: no headers of CUDA and NCCL";
  }
  const auto backend = load_cuda_backend();
  EXPECT_THAT(backend->versions(), AllOf(HasSubstr("CUDA "), HasSubstr("NCCL 2.")));
  if (has_gpu()) {
    EXPECT_FALSE(backend->gpus().empty());
    return;
  }
  EXPECT_THAT([&] { (void)backend->gpus(); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("this machine has no NVIDIA driver"),
                                               HasSubstr("--device cuda"))));
}

TEST(TorchCuda, IsNamedWhereThisLibTorchHasNone) {
  const TemporaryFolder folder;
  EXPECT_THAT(
      [&] { load_torch_cuda(folder.path()); },
      ThrowsMessage<ConfigError>(AllOf(HasSubstr("libc10_cuda.so: not there"),
                                       HasSubstr("without CUDA"), HasSubstr("tools/setup.sh"))));
}

TEST(TorchCuda, LoadsWhereAllItsLibrariesAreThereAndIsNamedWhereNot) {
  try {
    load_torch_cuda();
    EXPECT_GE(at::Context::versionCUDART(), 12000);
  } catch (const ConfigError& error) {
    EXPECT_THAT(
        error.what(),
        AllOf(::testing::ContainsRegex("lib(c10|torch)_cuda.so: (cannot be loaded|not there)"),
              HasSubstr("tools/setup.sh")));
  }
}

}  // namespace
}  // namespace assay
