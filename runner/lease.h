#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace assay {

/// How an observer of another host's lease spends its time; a test has other ways.
struct LeaseObserver {
  std::function<double()> now;  ///< Seconds of a clock that never goes back.
  std::function<void(double seconds)> sleep;
  std::function<void(const std::string&)> say;  ///< To a person who wonders why nothing happens.
};
[[nodiscard]] LeaseObserver real_observer();

/// The right of one coordinator to a workspace: `lease.json` names it (host, pid, boot id, start
/// time, what it runs, a beat).
///
/// A lease of this host is checked against the process, one of another host is taken over when its
/// beat stands still for 60 s of the observer's own monotonic clock: no clock of the day plays a
/// part. A holder that was killed therefore holds nothing, and one that was held up for longer
/// notices that it has lost its lease.
class WorkspaceLease {
 public:
  /// Takes the lease of `workspace`, creating the folder. `purpose` is for people: `assay run
  /// k.toml`. Throws BusyError, saying who holds it.
  WorkspaceLease(const std::filesystem::path& workspace,
                 const std::string& purpose,
                 const LeaseObserver& observer = real_observer());
  ~WorkspaceLease();
  WorkspaceLease(const WorkspaceLease&) = delete;
  WorkspaceLease& operator=(const WorkspaceLease&) = delete;

  /// Says that the holder lives. Call it often: it writes at most every ten seconds. Throws
  /// BusyError where somebody else has taken the lease over.
  void beat();

 private:
  [[nodiscard]] bool is_ours() const;
  void write();

  std::filesystem::path path_;
  nlohmann::json content_;
  std::int64_t beat_ = 0;
  LeaseObserver observer_;
  double written_ = 0;
};

/// Who holds a workspace now, in words, or nothing. For `assay status`.
[[nodiscard]] std::string lease_holder(const std::filesystem::path& workspace);

}  // namespace assay
