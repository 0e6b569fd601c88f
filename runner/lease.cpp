#include "runner/lease.h"

#include "core/error.h"
#include "core/file.h"
#include "runner/process.h"
#include "runner/progress.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <thread>

namespace assay {
namespace {

constexpr double kBeatSeconds = 10;
constexpr double kPatienceSeconds = 60;
constexpr double kLookSeconds = 0.5;

std::filesystem::path lease_path(const std::filesystem::path& workspace) {
  return workspace / "lease.json";
}

nlohmann::json read_lease(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return {};
  // Written atomically: what does not parse was written by something else and holds nothing.
  const auto json = nlohmann::json::parse(read_file(path), nullptr, false);
  return json.is_object() ? json : nlohmann::json();
}

std::string describe(const nlohmann::json& lease) {
  return fmt::format("process {} on {} ({}, since {})", lease.value("pid", 0),
                     lease.value("host", "?"), lease.value("purpose", "?"),
                     lease.value("since", "?"));
}

bool holds(const nlohmann::json& lease,
           const std::filesystem::path& path,
           const LeaseObserver& observer) {
  const auto holder = process_from_json(lease);
  if (!holder) return false;
  if (const auto alive = is_alive(*holder)) return *alive;
  observer.say(fmt::format("{}: held by {}; looking for {:.0f} s whether it lives",
                           path.parent_path().string(), describe(lease), kPatienceSeconds));
  const double start = observer.now();
  do {
    observer.sleep(kLookSeconds);
    const nlohmann::json present = read_lease(path);
    if (present.is_null()) return false;  // Given back.
    if (present != lease) return true;
  } while (observer.now() - start < kPatienceSeconds);
  return false;
}

/// One observer at a time decides; the kernel drops the lock with the process.
Descriptor lock_decision(const std::filesystem::path& workspace) {
  const std::filesystem::path path = workspace / "lease.lock";
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!lock) {
    const std::string why = std::strerror(errno);
    const bool there = std::filesystem::exists(path);
    throw DataError("{}: cannot be opened: {} ({}); a workspace must be writable", path.string(),
                    why, ownership_text(there ? path : workspace));
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw BusyError("{}: another coordinator is just starting; try again", workspace.string());
  }
  return lock;
}

}  // namespace

LeaseObserver real_observer() {
  return {.now =
              [] {
                const auto now = std::chrono::steady_clock::now();
                return std::chrono::duration<double>(now.time_since_epoch()).count();
              },
          .sleep =
              [](double seconds) {
                std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
              },
          .say = [](const std::string& line) { say(stderr, line + "\n"); }};
}

WorkspaceLease::WorkspaceLease(const std::filesystem::path& workspace,
                               const std::string& purpose,
                               const LeaseObserver& observer)
    : path_(lease_path(workspace)), observer_(observer) {
  std::error_code error;
  std::filesystem::create_directories(workspace, error);
  if (error || !std::filesystem::is_directory(workspace)) {
    throw DataError("{}: is not a folder and cannot be made one: {}; name another --workspace",
                    workspace.string(), error ? error.message() : "a file is in the way");
  }
  const Descriptor lock = lock_decision(workspace);
  const nlohmann::json present = read_lease(path_);
  if (holds(present, path_, observer)) {
    throw BusyError("{}: held by {}; wait for it, or stop it and try again", workspace.string(),
                    describe(present));
  }
  content_ = to_json(this_process());
  content_["purpose"] = purpose;
  content_["since"] = fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(std::time(nullptr)));
  write();
}

WorkspaceLease::~WorkspaceLease() {
  std::error_code ignored;  // Left behind, it names a dead process and holds nothing.
  if (is_ours()) std::filesystem::remove(path_, ignored);
}

void WorkspaceLease::beat() {
  if (observer_.now() - written_ < kBeatSeconds) return;
  if (!is_ours()) {
    throw BusyError("{}: its lease was taken over by {}; this process was held up for too long",
                    path_.parent_path().string(), describe(read_lease(path_)));
  }
  ++beat_;
  write();
}

bool WorkspaceLease::is_ours() const {
  try {
    return process_from_json(read_lease(path_)) == process_from_json(content_);
  } catch (const DataError&) {
    return false;
  }
}

void WorkspaceLease::write() {
  content_["beat"] = beat_;
  replace_file(path_, content_.dump(2) + "\n");  // A power cut ends its holder, too.
  written_ = observer_.now();
}

std::string lease_holder(const std::filesystem::path& workspace) {
  const nlohmann::json lease = read_lease(lease_path(workspace));
  const auto holder = process_from_json(lease);
  return holder && is_alive(*holder).value_or(true) ? describe(lease) : "";
}

}  // namespace assay
