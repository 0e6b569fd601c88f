#include "core/comm/cuda_library.h"
#include "core/comm/mpi_communicator.h"
#include "core/error.h"
#include "runner/gpu_check.h"
#include "runner/launched_rank.h"
#include "runner/worker_commands.h"

#include <cstdio>
#include <memory>

namespace assay {
namespace {

using nlohmann::json;

struct GpuArguments {
  std::string device;
  bool check = false, json = false;
};

/// For `assay`, which loads no CUDA: {"gpus": [...], "versions": "..."} or {"error": "..."}.
int list_gpus(bool as_json) {
  try {
    const auto backend = load_cuda_backend();
    json gpus = json::array();
    for (const Gpu& gpu : backend->gpus()) gpus.push_back(to_json(gpu));
    load_torch_cuda();
    if (as_json) {
      fmt::print("{}\n", json{{"gpus", gpus}, {"versions", backend->versions()}}.dump());
      return 0;
    }
    fmt::print("{}\n", backend->versions());
    for (const json& gpu : gpus) {
      fmt::print("{} {}\n", gpu["uuid"].get<std::string>(), gpu["name"].get<std::string>());
    }
    return 0;
  } catch (const ConfigError& error) {
    if (!as_json) throw;
    fmt::print("{}\n", json{{"error", error.what()}}.dump());
    return 2;
  }
}

/// One JSON line a finding, and {"end": true} after the last one.
int check_gpus(const std::string& device, Communicator& host) {
  ComputeDevice opened;
  if (device == "cuda") opened = open_gpu(host);
  // NCCL also where there is one rank: that it starts is part of the check.
  const std::unique_ptr<Communicator> nccl =
      opened.gpu ? opened.backend->communicator(host, opened.device.index(), /*timeout_seconds=*/30)
                 : nullptr;
  bool good = true;
  check_device(opened, host, nccl ? *nccl : host, [&](const GpuFinding& finding) {
    good = good && finding.good;
    if (host.rank() != 0) return;
    fmt::print(
        "{}\n",
        json{{"what", finding.what}, {"good", finding.good}, {"found", finding.found}}.dump());
    std::fflush(stdout);
  });
  if (host.rank() == 0) fmt::print("{}\n", json{{"end", true}}.dump());
  return good ? 0 : 1;
}

int gpus(const GpuArguments& arguments) {
  if (!arguments.check) return list_gpus(arguments.json);
  if (launched_rank().world_size == 1) {
    SingleCommunicator alone;
    return check_gpus(arguments.device, alone);
  }
  const MpiSession mpi;
  const auto world = mpi.world();
  try {
    return check_gpus(arguments.device, *world);
  } catch (const std::exception& error) {
    report_error(error);
    MpiSession::abort(1);
  }
}

}  // namespace

std::vector<Command> add_gpu_command(CLI::App& app) {
  const auto arguments = std::make_shared<GpuArguments>();
  CLI::App* command = app.add_subcommand("gpus", "for assay run and assay doctor: lists the GPUs");
  add_device(*command, arguments->device);
  command->add_flag("--check", arguments->check,
                    "compare --device with the CPU; also under mpirun");
  command->add_flag("--json", arguments->json, "for machines");
  return {{command, [arguments] { return gpus(*arguments); }}};
}

}  // namespace assay
