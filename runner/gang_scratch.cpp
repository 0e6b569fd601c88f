#include "runner/gang_scratch.h"

#include "runner/launcher.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace assay {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSharedMemorySettings[] = {"OMPI_MCA_btl_vader_backing_directory",
                                                 "OMPI_MCA_btl_sm_backing_directory"};

/// By user: others may run the same workspace.
fs::path place(const fs::path& parent, const fs::path& folder) {
  return parent / fmt::format("{}.{}", step_name(folder), ::geteuid());
}

fs::path shared_memory(const fs::path& folder) { return place("/dev/shm", folder); }

fs::path session(const fs::path& folder) {
  std::error_code none;
  const fs::path temporary = fs::temp_directory_path(none);
  return place(none ? "/tmp" : temporary, folder);
}

/// A folder of this user's own: anyone may have made one of that name.
bool make_own(const fs::path& path) {
  struct stat found {};
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return false;
  return ::lstat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode) &&
         found.st_uid == ::geteuid();
}

}  // namespace

RankScratch::RankScratch(const fs::path& folder) {
  for (const char* setting : kSharedMemorySettings) {
    if (std::getenv(setting) != nullptr) return;
  }
  if (!make_own(shared_memory(folder))) return;
  shared_memory_ = shared_memory(folder);
  for (const char* setting : kSharedMemorySettings) {
    ::setenv(setting, shared_memory_.c_str(), /*overwrite=*/0);
  }
}

RankScratch::~RankScratch() {
  if (!shared_memory_.empty()) ::rmdir(shared_memory_.c_str());  // By the last rank.
}

std::string session_setting(const fs::path& folder) {
  return "OMPI_MCA_orte_tmpdir_base=" + session(folder).string();
}

void remove_scratch(const fs::path& folder) {
  for (const fs::path& path : {shared_memory(folder), session(folder)}) {
    std::error_code ignored;  // Another user's, or nothing.
    fs::remove_all(path, ignored);
  }
}

}  // namespace assay
