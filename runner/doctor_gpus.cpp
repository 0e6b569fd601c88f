#include "core/error.h"
#include "runner/child_output.h"
#include "runner/doctor.h"
#include "runner/gpu_probe.h"
#include "runner/launcher.h"

#include <nlohmann/json.hpp>

#include <chrono>

namespace assay {
namespace {

constexpr std::chrono::seconds kPatience(60);
using Deadline = std::chrono::steady_clock::time_point;

/// Of an error's text what stands behind the last semicolon is what to do.
Finding bad_finding(const std::string& what, const std::string& error) {
  const std::size_t semicolon = error.rfind("; ");
  if (semicolon == std::string::npos) return {what, false, true, error, "see above"};
  return {what, false, true, error.substr(0, semicolon), error.substr(semicolon + 2)};
}

Finding describe(const Gpu& gpu) {
  return {"GPU", true, true,
          fmt::format("{}, {:.0f} GB, compute capability {}.{}, {}", gpu.name,
                      static_cast<double>(gpu.memory_bytes) / 1e9, gpu.major, gpu.minor, gpu.uuid),
          ""};
}

/// One rank a GPU compares it with the CPU (runner/gpu_check.h).
std::vector<Finding> compare_with_cpu(const std::filesystem::path& worker,
                                      int ranks,
                                      Deadline deadline) {
  const std::vector<Slot> slots(static_cast<std::size_t>(ranks));
  std::vector<std::string> command = launcher_command({}, slots, "");
  command.insert(command.end(), {worker.string(), "gpus", "--check", "--device", "cuda"});
  ChildOutput child(command, launcher_environment({}));
  std::vector<Finding> findings;
  bool whole = false;  // It has said that nothing is left to compare.
  while (const auto line = child.next_object(deadline)) {
    const nlohmann::json& said = *line;
    whole = said.contains("end");
    if (whole) break;
    findings.push_back({said.at("what"), said.at("good"), true, said.at("found"),
                        "NCCL_DEBUG=INFO CUDA_LAUNCH_BLOCKING=1 assay doctor --gpus"});
  }
  if (whole) return findings;
  const bool late = std::chrono::steady_clock::now() >= deadline;
  const int exit_code = child.end();
  const std::string last = findings.empty() ? "its start" : "'" + findings.back().what + "'";
  if (late) {
    findings.push_back(bad_finding(
        "comparison with the CPU",
        fmt::format("hangs: stopped after {} s, after {}; NCCL_DEBUG=INFO assay doctor --gpus",
                    kPatience.count(), last)));
  } else {
    findings.push_back(
        bad_finding("comparison with the CPU",
                    fmt::format("ended with exit code {} after {}; read what it printed above",
                                exit_code, last)));
  }
  return findings;
}

}  // namespace

std::vector<Finding> try_gpus(const std::filesystem::path& worker) {
  const Deadline deadline = std::chrono::steady_clock::now() + kPatience;
  GpuProbe probe;
  try {
    probe = probe_gpus(worker, deadline);
  } catch (const ConfigError& error) {
    return {bad_finding("GPUs", error.what())};
  }
  std::vector<Finding> findings = {{"versions", true, true, probe.versions, ""}};
  for (const Gpu& gpu : probe.gpus) findings.push_back(describe(gpu));
  for (Finding& finding : compare_with_cpu(worker, static_cast<int>(probe.gpus.size()), deadline)) {
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace assay
