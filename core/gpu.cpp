#include "core/gpu.h"

#include "core/error.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <map>

namespace assay {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// A matching of ranks and GPUs by augmenting paths (H. W. Kuhn, 1955).
class Assignment {
 public:
  explicit Assignment(const std::vector<std::vector<std::string>>& visible) : visible_(visible) {
    std::map<std::vector<std::string>, std::size_t> peers;  // Ranks that see the same GPUs.
    for (const auto& gpus : visible) preferred_.push_back(peers[gpus]++);
  }

  bool place(std::size_t rank) {
    tried_.clear();
    return find_place(rank);
  }

  [[nodiscard]] int gpu_of(std::size_t rank) const {
    for (std::size_t i = 0; i < visible_[rank].size(); ++i) {
      const auto owner = owner_.find(visible_[rank][i]);
      if (owner != owner_.end() && owner->second == rank) return static_cast<int>(i);
    }
    return -1;
  }

 private:
  bool find_place(std::size_t rank) {
    const auto& gpus = visible_[rank];
    for (std::size_t i = 0; i < gpus.size(); ++i) {
      const std::string& gpu = gpus[(preferred_[rank] + i) % gpus.size()];
      if (!tried_.emplace(gpu, true).second) continue;
      const auto owner = owner_.find(gpu);
      if (owner != owner_.end() && !find_place(owner->second)) continue;
      owner_[gpu] = rank;
      return true;
    }
    return false;
  }

  const std::vector<std::vector<std::string>>& visible_;
  std::vector<std::size_t> preferred_;
  std::map<std::string, std::size_t> owner_;
  std::map<std::string, bool> tried_;
};

}  // namespace

nlohmann::json to_json(const Gpu& gpu) {
  return {{"name", gpu.name},
          {"uuid", gpu.uuid},
          {"memory_bytes", gpu.memory_bytes},
          {"major", gpu.major},
          {"minor", gpu.minor}};
}

Gpu gpu_from_json(const nlohmann::json& json) {
  return {.name = json.at("name"),
          .uuid = json.at("uuid"),
          .memory_bytes = json.at("memory_bytes"),
          .major = json.at("major"),
          .minor = json.at("minor")};
}

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string why_no_gpu(int driver_version,
                       int runtime_version,
                       bool insufficient,
                       const std::string& error,
                       const std::optional<std::string>& visible) {
  if (driver_version == 0) {
    return fmt::format(
        "no GPU: this machine has no NVIDIA driver (CUDA: {}); install it where there is a GPU "
        "(in a container: start that with --gpus all), else leave out --device cuda",
        error);
  }
  if (insufficient) {
    return fmt::format(
        "the NVIDIA driver is too old: it supports CUDA {}, expected {} or newer (CUDA: {}); "
        "update "
        "the driver, or build with a LibTorch for the older CUDA",
        cuda_version_text(driver_version), cuda_version_text(runtime_version), error);
  }
  if (visible) {
    return fmt::format(
        "no GPU: CUDA_VISIBLE_DEVICES is '{}', which shows none (CUDA: {}); name one that "
        "'nvidia-smi -L' lists, or unset it",
        *visible, error);
  }
  return fmt::format("no GPU: the NVIDIA driver shows none (CUDA: {}); see 'nvidia-smi'", error);
}

std::vector<int> assign_gpus(const std::vector<std::vector<std::string>>& visible) {
  Assignment assignment(visible);
  for (std::size_t rank = 0; rank < visible.size(); ++rank) {
    if (assignment.place(rank)) continue;
    throw ConfigError(
        "rank {} of {}: the {} GPUs that it sees are taken by other ranks, expected one GPU a "
        "rank; use fewer --ranks, or check CUDA_VISIBLE_DEVICES and the launcher's binding",
        rank, visible.size(), visible[rank].size());
  }
  std::vector<int> gpus;
  for (std::size_t rank = 0; rank < visible.size(); ++rank) gpus.push_back(assignment.gpu_of(rank));
  return gpus;
}

std::vector<std::string> gpu_selectors(const std::optional<std::string>& visible, int count) {
  std::vector<std::string> selectors;
  if (visible) {
    selectors = split(*visible, ',');
    const bool mig = !selectors.empty() && selectors.front().starts_with("MIG-");
    if (!mig && std::ssize(selectors) > count) selectors.resize(static_cast<std::size_t>(count));
  } else {
    for (int gpu = 0; gpu < count; ++gpu) selectors.push_back(std::to_string(gpu));
  }
  return selectors;
}

std::string shared_memory_warning(const std::filesystem::path& folder, std::uintmax_t least_bytes) {
  std::error_code missing;
  const auto space = std::filesystem::space(folder, missing);
  if (missing || space.capacity >= least_bytes) return {};
  constexpr double kMegabyte = 1e6;
  return fmt::format(
      "{} has {:.0f} MB, {:.0f} MB of them free, expected at least {:.0f} MB for ranks that share "
      "a "
      "machine; start the container with --shm-size=1g",
      folder.string(), static_cast<double>(space.capacity) / kMegabyte,
      static_cast<double>(space.available) / kMegabyte,
      static_cast<double>(least_bytes) / kMegabyte);
}

}  // namespace assay
