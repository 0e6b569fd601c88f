#pragma once

#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <string>

namespace assay {

/// The right of one coordinator to a workspace: `lease.json` names it (host, pid, boot id, start
/// time, what it runs, a beat).
///
/// A lease of this host is checked against the process, one of another host is taken over when its
/// beat stands still for `patience` of the observer's own monotonic clock. A holder that was killed
/// therefore holds nothing.
class WorkspaceLease {
 public:
  /// Takes the lease of `workspace`, creating the folder. `purpose` is for people: `assay run
  /// k.toml`. Throws BusyError, saying who holds it.
  WorkspaceLease(const std::filesystem::path& workspace,
                 const std::string& purpose,
                 std::chrono::duration<double> patience = std::chrono::seconds(60));
  ~WorkspaceLease();
  WorkspaceLease(const WorkspaceLease&) = delete;
  WorkspaceLease& operator=(const WorkspaceLease&) = delete;

  /// Says that the holder lives. Call it often: it writes at most every ten seconds.
  void beat();

 private:
  void write();

  std::filesystem::path path_;
  nlohmann::json content_;
  std::int64_t beat_ = 0;
  std::chrono::steady_clock::time_point written_;
};

/// Who holds a workspace now, in words, or nothing. For `assay status`.
[[nodiscard]] std::string lease_holder(const std::filesystem::path& workspace);

}  // namespace assay
