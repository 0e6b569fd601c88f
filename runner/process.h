#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// A process beyond its number, which the kernel gives again: the same pid at the same start time
/// of the same boot of the same host is the same process.
struct ProcessIdentity {
  std::string host;
  std::string boot_id;  ///< /proc/sys/kernel/random/boot_id
  int pid = 0;
  std::uint64_t start_time = 0;  ///< Clock ticks since boot (proc(5), field 22).
  bool operator==(const ProcessIdentity&) const = default;
};

[[nodiscard]] ProcessIdentity this_process();
/// The live process `pid` of this host; nothing where there is none or it is a zombie.
[[nodiscard]] std::optional<ProcessIdentity> find_process(int pid);

/// Whether the process lives; nothing where it is one of another host.
[[nodiscard]] std::optional<bool> is_alive(const ProcessIdentity& process);

/// Whether a process of this host is held by a signal (SIGSTOP) or a debugger.
[[nodiscard]] bool is_stopped(int pid);

/// SIGKILL to the very process, nothing where it is gone or another one has its number.
void kill_process(const ProcessIdentity& process);

[[nodiscard]] nlohmann::json to_json(const ProcessIdentity& process);
/// The inverse; nothing where a field is missing or of another type.
[[nodiscard]] std::optional<ProcessIdentity> process_from_json(const nlohmann::json& json);

/// The processes that wrote `rank*.json` into the folder of a gang: its ranks.
[[nodiscard]] std::vector<ProcessIdentity> recorded_ranks(const std::filesystem::path& folder);

/// Kills the recorded ranks of `folder` and returns once all of this host are dead. Throws
/// CommError, naming the first, where one lives on after `timeout_seconds` (uninterruptible I/O).
void end_recorded_ranks(const std::filesystem::path& folder, double timeout_seconds = 10);

/// What exec and spawn take: a pointer to each text, and null. They point into `texts`.
[[nodiscard]] std::vector<char*> exec_pointers(std::vector<std::string>& texts);

/// Asks the kernel to send `signal` to this process when its parent ends. Throws CommError where
/// the parent is gone already.
void die_with_parent(int signal, int parent);

}  // namespace assay
