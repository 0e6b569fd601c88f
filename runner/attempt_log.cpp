#include "runner/attempt_log.h"

#include "core/error.h"
#include "runner/job_run.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace assay {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".attempt.log";

void print_to(const Descriptor& file) {
  std::fflush(stdout);
  std::fflush(stderr);
  ::dup2(file.get(), 1);
  ::dup2(file.get(), 2);
}

/// Whether this attempt is the last job that the gang was given, or the last but one.
bool was_given(const fs::path& gang, const Attempt& attempt) {
  return std::ranges::any_of(kRunFiles, [&](const char* name) {
    if (!fs::exists(gang / name)) return false;
    const auto run = nlohmann::json::parse(read_file(gang / name), nullptr, false);
    return run.is_object() && run.value("id", "") == attempt.job &&
           run.value("attempt", std::int64_t{0}) == attempt.number;
  });
}

}  // namespace

AttemptLog::AttemptLog(fs::path gang, int rank)
    : path_(std::move(gang) / fmt::format("rank{}{}", rank, kEnding)),
      name_(fmt::format("rank{}.log", rank)),
      of_gang_(::fcntl(1, F_DUPFD_CLOEXEC, 3)) {}

void AttemptLog::start(const fs::path& attempt) {
  if (!of_attempt_) {
    of_attempt_ = Descriptor(
        ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666));
    if (!of_attempt_) {
      throw DataError("{}: cannot be opened: {}", path_.string(), std::strerror(errno));
    }
  }
  kept_as_ = attempt / name_;
  kept_ = false;
  print_to(of_attempt_);
}

void AttemptLog::keep() {
  if (kept_) return;
  kept_ = true;
  std::error_code error;
  fs::create_directories(kept_as_.parent_path(), error);
  if (!error) fs::rename(path_, kept_as_, error);
}

void AttemptLog::end() {
  print_to(of_gang_);
  struct stat status {};
  if (::fstat(of_attempt_.get(), &status) == 0 && status.st_size > 0) keep();
  if (kept_) of_attempt_.reset();
}

void keep_attempt_logs(const fs::path& gang, const Attempt& attempt) {
  if (!was_given(gang, attempt)) return;
  std::error_code gone;  // A rank that lives may be doing the same.
  for (const auto& entry : fs::directory_iterator(gang, gone)) {
    std::string name = entry.path().filename().string();
    if (!name.ends_with(kEnding) || fs::file_size(entry.path(), gone) == 0 || gone) continue;
    name.resize(name.size() - kEnding.size());
    fs::create_directories(folder_of(attempt), gone);
    fs::rename(entry.path(), folder_of(attempt) / (name + ".log"), gone);
  }
}

fs::path attempt_log(const fs::path& gang, const Attempt& attempt, int rank) {
  fs::path kept = folder_of(attempt) / fmt::format("rank{}.log", rank);
  const bool runs = attempt.outcome == "running" && !fs::exists(kept) && was_given(gang, attempt);
  return runs ? gang / fmt::format("rank{}{}", rank, kEnding) : kept;
}

fs::path folder_of(const Attempt& attempt) { return fs::path(attempt.log_path).parent_path(); }

}  // namespace assay
