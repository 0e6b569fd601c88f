#include "trainer/checkpoint.h"

#include "core/digest.h"
#include "core/error.h"
#include "registry/safetensors.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <system_error>

namespace assay {
namespace {

constexpr auto kFormat = "assay-train-state";
constexpr auto kFormatVersion = "1";

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

std::string checksum(const TensorMap& tensors) {
  std::string digests;
  for (const auto& [name, tensor] : tensors) {
    digests += fmt::format("{}:{:016x};", name, xxh3(bytes_of(tensor)));
  }
  return fmt::format("{:016x}", xxh3(std::as_bytes(std::span(digests))));
}

nlohmann::json to_json(const TrainState& state) {
  return {{"step", state.step},
          {"epoch_loss_sums", state.epoch_loss_sums},
          {"numerics", state.numerics},
          {"mixed_numerics", state.mixed_numerics}};
}

void from_json(const nlohmann::json& json, TrainState& state) {
  json.at("step").get_to(state.step);
  json.at("epoch_loss_sums").get_to(state.epoch_loss_sums);
  json.at("numerics").get_to(state.numerics);
  json.at("mixed_numerics").get_to(state.mixed_numerics);
}

std::string metadata_of(const SafeTensors& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  return found == file.metadata.end() ? std::string() : found->second;
}

void check_metadata(const std::string& where,
                    const SafeTensors& file,
                    const std::string& identity) {
  if (metadata_of(file, "format") != kFormat) {
    throw DataError("{}: not a state of a training", where);
  }
  if (const auto version = metadata_of(file, "format_version"); version != kFormatVersion) {
    throw DataError("{}: format version {}, this build reads {}", where, version, kFormatVersion);
  }
  if (const auto found = metadata_of(file, "identity"); found != identity) {
    throw DataError("{}: the state of job '{}', expected '{}'", where, found, identity);
  }
  if (metadata_of(file, "xxh3") != checksum(file.tensors)) {
    throw DataError("{}: the checksum of its values does not match, the file is damaged", where);
  }
}

void check_tensors(const std::string& where, const SafeTensors& file, const TrainState& state) {
  for (const auto& [name, expected] : state.tensors) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end()) throw DataError("{}: tensor '{}' is missing", where, name);
    if (found->second.sizes() != expected.sizes() || found->second.scalar_type() != at::kFloat) {
      throw DataError("{}: tensor '{}' has shape {}, expected {}", where, name,
                      fmt::join(found->second.sizes(), "x"), fmt::join(expected.sizes(), "x"));
    }
  }
  if (file.tensors.size() != state.tensors.size()) {
    throw DataError("{}: {} tensors, expected {}", where, file.tensors.size(),
                    state.tensors.size());
  }
}

// A killed writer leaves `<name>.<pid>.partial`.
void remove_leftovers(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::string prefix = path.filename().string() + ".";
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(".partial")) {
      std::filesystem::remove(entry.path(), ignored);
    }
  }
}

// On one rank: what the file has, or a warning.
bool try_to_load(const std::filesystem::path& path,
                 TrainState& state,
                 const std::string& identity) {
  remove_leftovers(path);
  if (!std::filesystem::exists(path)) return false;
  try {
    load_state(path, state, identity);
    return true;
  } catch (const DataError& error) {
    spdlog::warn("{}; training starts from the beginning", error.what());
    return false;
  }
}

}  // namespace

TrainState initial_state(const NamedTensors& parameters) {
  TrainState state;
  state.numerics = fmt::format("{}, {} threads", at::get_cpu_capability(), at::get_num_threads());
  for (const auto& [name, value] : parameters) state.tensors.emplace_back(name, value.detach());
  for (const auto* moment : {"adam.m.", "adam.v."}) {
    for (const auto& [name, value] : parameters) {
      state.tensors.emplace_back(moment + name, at::zeros_like(value.detach()));
    }
  }
  return state;
}

void save_state(const std::filesystem::path& path,
                const TrainState& state,
                const std::string& identity) {
  SafeTensors file;
  for (const auto& [name, value] : state.tensors) file.tensors.emplace(name, value.cpu());
  file.metadata = {{"format", kFormat},
                   {"format_version", kFormatVersion},
                   {"identity", identity},
                   {"xxh3", checksum(file.tensors)},
                   {"state", to_json(state).dump()}};
  write_safetensors(path, file);
}

void load_state(const std::filesystem::path& path, TrainState& state, const std::string& identity) {
  const SafeTensors file = read_safetensors(path);
  check_metadata(path.string(), file, identity);
  check_tensors(path.string(), file, state);
  TrainState loaded;
  try {
    from_json(nlohmann::json::parse(metadata_of(file, "state")), loaded);
  } catch (const nlohmann::json::exception& error) {
    throw DataError("{}: the metadata 'state' is damaged: {}", path.string(), error.what());
  }
  if (loaded.numerics != state.numerics) {
    spdlog::warn("{}: computed with {}, goes on with {}: the bits may differ from those of one run",
                 path.string(), loaded.numerics, state.numerics);
    loaded.mixed_numerics = true;
  }
  for (const auto& [name, value] : state.tensors) value.copy_(file.tensors.at(name));
  state.step = loaded.step;
  state.epoch_loss_sums = loaded.epoch_loss_sums;
  state.mixed_numerics = loaded.mixed_numerics;
}

bool continue_from_state(const std::filesystem::path& from,
                         const std::string& from_identity,
                         const std::filesystem::path& to,
                         const std::string& identity) {
  if (std::filesystem::exists(to) || !std::filesystem::exists(from)) return false;
  try {
    SafeTensors file = read_safetensors(from);
    check_metadata(from.string(), file, from_identity);
    file.metadata["identity"] = identity;
    write_safetensors(to, file);
    return true;
  } catch (const DataError& error) {
    spdlog::warn("{}; training starts from the beginning", error.what());
    return false;
  }
}

bool resume_state(const std::filesystem::path& path,
                  TrainState& state,
                  const std::string& identity,
                  Communicator& comm) {
  std::string header;
  if (comm.rank() == 0) {
    const bool resumed = !path.empty() && try_to_load(path, state, identity);
    header = nlohmann::json{{"resumed", resumed}, {"state", to_json(state)}}.dump();
  }
  const auto headers = comm.all_gather(std::as_bytes(std::span(header)));
  const auto* text = reinterpret_cast<const char*>(headers[0].data());
  const auto json = nlohmann::json::parse(text, text + headers[0].size());
  from_json(json.at("state"), state);
  for (const auto& [name, value] : state.tensors) {
    const at::Tensor on_cpu = value.cpu();  // Itself, where it is there.
    comm.broadcast(bytes_of(on_cpu), /*root=*/0);
    if (!value.is_cpu()) value.copy_(on_cpu);
  }
  return json.at("resumed");
}

}  // namespace assay
