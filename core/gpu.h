#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// A GPU as CUDA describes it to this process.
struct Gpu {
  std::string name, uuid;
  std::int64_t memory_bytes = 0;
  int major = 0, minor = 0;  ///< Compute capability.
  bool operator==(const Gpu&) const = default;
};

[[nodiscard]] nlohmann::json to_json(const Gpu& gpu);
[[nodiscard]] Gpu gpu_from_json(const nlohmann::json& json);

/// `13.0` of 13000, as CUDA counts its versions.
[[nodiscard]] std::string cuda_version_text(int version);

/// Why CUDA shows no GPU, and what to do. Versions as CUDA counts them, 13000 for 13.0; driver 0:
/// there is none. `insufficient`: CUDA says that the driver is too old; `error` is its own word,
/// `visible` the value of CUDA_VISIBLE_DEVICES.
[[nodiscard]] std::string why_no_gpu(int driver_version,
                                     int runtime_version,
                                     bool insufficient,
                                     const std::string& error,
                                     const std::optional<std::string>& visible);

/// Which of its visible GPUs each rank of a gang takes, from the UUIDs that each sees, in CUDA's
/// order: no GPU twice. Of ranks that see the same ones, the first takes the first, and so on.
/// Throws ConfigError, naming both counts, where there are not enough.
[[nodiscard]] std::vector<int> assign_gpus(const std::vector<std::vector<std::string>>& visible);

/// Values of CUDA_VISIBLE_DEVICES that stand for one GPU each: the parts of the inherited value, of
/// which CUDA shows `count` (of several MIG names it shows the first, and each is one); else 0, 1,
/// ..., count - 1.
[[nodiscard]] std::vector<std::string> gpu_selectors(const std::optional<std::string>& visible,
                                                     int count);

/// Nothing, or what a person should know of shared memory that is too small for several ranks:
/// folder, size, free bytes, remedy (`cases.md` L05). Ranks of one host and NCCL talk through it.
[[nodiscard]] std::string shared_memory_warning(const std::filesystem::path& folder = "/dev/shm",
                                                std::uintmax_t least_bytes = std::uintmax_t{1}
                                                                             << 30);

}  // namespace assay
