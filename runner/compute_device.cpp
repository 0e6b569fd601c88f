#include "runner/compute_device.h"

#include "core/comm/agree.h"
#include "core/comm/cuda_library.h"
#include "core/error.h"
#include "runner/precision.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <nlohmann/json.hpp>

namespace assay {
namespace {

using nlohmann::json;

/// The half of CUDA that LibTorch was built with must be that of libassay_cuda.so.
void check_versions(const CudaBackend& backend) {
  const auto of_torch = at::Context::versionCUDART();
  if (of_torch / 1000 == backend.cuda_version() / 1000) return;
  throw ConfigError(
      "LibTorch is for CUDA {}, libassay_cuda.so for CUDA {}, expected the same; configure with "
      "-DCudaNccl_ROOTS=FOLDER of the other CUDA toolkit and build again",
      cuda_version_text(static_cast<int>(of_torch)), cuda_version_text(backend.cuda_version()));
}

/// One operation: a GPU that LibTorch has no code for, or that another process has to itself, shows
/// here and not in the middle of a job.
void try_out(const ComputeDevice& opened) {
  try {
    if (at::ones({2}, at::TensorOptions(opened.device)).sum().item<float>() == 2) return;
  } catch (const c10::Error& error) {
    throw ConfigError(
        "{} (compute capability {}.{}) cannot be used: {}; see 'nvidia-smi', or take a LibTorch "
        "with code for it",
        opened.gpu->name, opened.gpu->major, opened.gpu->minor, error.what_without_backtrace());
  }
  throw ConfigError("{} adds 1 and 1 to something else than 2: it is broken", opened.gpu->name);
}

}  // namespace

ComputeDevice open_gpu(Communicator& host) {
  ComputeDevice opened;
  std::vector<Gpu> gpus;
  json own = {{"uuids", json::array()}};
  own["failure"] = failure_of([&] {
    opened.backend = load_cuda_backend();
    gpus = opened.backend->gpus();
    load_torch_cuda();
    check_versions(*opened.backend);
    for (const Gpu& gpu : gpus) own["uuids"].push_back(gpu.uuid);
  });
  const std::string text = own.dump();
  std::vector<std::vector<std::string>> visible;  // By rank.
  for (const auto& bytes : host.all_gather(std::as_bytes(std::span(text)))) {
    const auto* begin = reinterpret_cast<const char*>(bytes.data());
    const json of_rank = json::parse(begin, begin + bytes.size());
    const std::string failure = of_rank.at("failure");
    if (!failure.empty()) throw ConfigError("{}", failure);
    visible.push_back(of_rank.at("uuids"));
  }
  const int index = assign_gpus(visible).at(static_cast<std::size_t>(host.rank()));
  opened.device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
  opened.gpu = gpus.at(static_cast<std::size_t>(index));
  try {
    agree(host, [&] {
      opened.backend->select(index);
      try_out(opened);
    });
  } catch (const JobError& error) {
    throw ConfigError("{}", error.what());
  }
  return opened;
}

std::unique_ptr<Communicator> job_communicator(const ComputeDevice& device, Communicator& host) {
  if (!device.gpu || host.world_size() == 1) return nullptr;
  return device.backend->communicator(host, device.device.index(), kNcclTimeoutSeconds);
}

void use_precision(const ComputeDevice& device, const std::string& precision) {
  const std::string reason = why_not(precision, device.gpu ? &*device.gpu : nullptr);
  if (!reason.empty()) throw JobError("{}", reason);
  if (!device.gpu) return;
  // LibTorch's own default lets convolutions, and only these, round to TF32.
  at::globalContext().setAllowTF32CuBLAS(precision == "tf32");
  at::globalContext().setAllowTF32CuDNN(precision == "tf32");
}

at::ScalarType type_of_products(const std::string& precision) {
  return precision == "bf16" ? at::kBFloat16 : at::kFloat;
}

}  // namespace assay
