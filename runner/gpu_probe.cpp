#include "runner/gpu_probe.h"

#include "core/error.h"
#include "runner/child_output.h"
#include "runner/job_spec.h"
#include "runner/launcher.h"
#include "runner/precision.h"

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <optional>

namespace assay {

GpuProbe probe_gpus(const std::filesystem::path& worker,
                    std::chrono::steady_clock::time_point deadline) {
  ChildOutput child({worker.string(), "gpus", "--json"}, launcher_environment({}));
  const auto answer = child.next_object(deadline);
  const bool late = std::chrono::steady_clock::now() >= deadline;
  const int exit_code = child.end();
  if (!answer) {
    throw ConfigError("{} gpus: {}, expected the list of GPUs", worker.string(),
                      late ? "says nothing and was stopped; see whether 'nvidia-smi' hangs, too"
                           : fmt::format("ended with exit code {} before it", exit_code));
  }
  const nlohmann::json& said = *answer;
  if (said.contains("error")) throw ConfigError("{}", said.at("error").get<std::string>());
  GpuProbe probe{.gpus = {}, .selectors = {}, .versions = said.at("versions")};
  for (const auto& gpu : said.at("gpus")) probe.gpus.push_back(gpu_from_json(gpu));
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  probe.selectors =
      gpu_selectors(visible == nullptr ? std::nullopt : std::optional<std::string>(visible),
                    static_cast<int>(probe.gpus.size()));
  return probe;
}

GpuProbe gpus_for(const Study& study,
                  const std::string& device,
                  const std::filesystem::path& worker) {
  const bool on_gpus = device == "cuda";
  constexpr std::chrono::seconds kPatience(60);  // Loading CUDA takes seconds on a slow disk.
  GpuProbe probe =
      on_gpus ? probe_gpus(worker, std::chrono::steady_clock::now() + kPatience) : GpuProbe{};
  for (const JobKind kind : kJobKinds) {
    const auto precision = study.precision.find(std::string(to_string(kind)));
    if (!precision) continue;
    const std::string reason = why_not(*precision, on_gpus ? &probe.gpus.front() : nullptr);
    if (!reason.empty()) throw ConfigError("{}: {}", study.path.string(), reason);
  }
  return probe;
}

void check_gpu_count(const std::vector<std::string>& selectors,
                     int ranks,
                     int slots,
                     int gangs_per_gpu) {
  if (slots > std::ssize(selectors) * gangs_per_gpu) {
    throw ConfigError("{} ranks on {} GPUs, expected {}; use fewer --ranks or --slots", slots,
                      selectors.size(),
                      gangs_per_gpu == 1 ? "one GPU a rank (--gangs-per-gpu lets ranks share)"
                                         : fmt::format("at most {} on each", gangs_per_gpu));
  }
  if (ranks > 1 && selectors.front().starts_with("MIG-")) {
    throw ConfigError(
        "--ranks {} on MIG instances: a process uses one, and NCCL joins none; use --ranks 1 and "
        "several --slots",
        ranks);
  }
}

}  // namespace assay
