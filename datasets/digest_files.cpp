#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "datasets/manifest.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>
#include <string>
#include <unordered_map>

namespace assay {
namespace {

/// What tells that a file is still the one that was digested.
struct FileStamp {
  std::int64_t size = 0, mtime_ns = 0, inode = 0;
  bool operator==(const FileStamp&) const = default;
};

FileStamp stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    throw DataError("{}: cannot be read: {}", path, std::strerror(errno));
  }
  return {.size = status.st_size,
          .mtime_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec,
          .inode = static_cast<std::int64_t>(status.st_ino)};
}

/// Digests by path. One line a file: digest, size, mtime in ns, inode, path, split by blanks. What
/// is no such line is forgotten: the file is read again.
class DigestCache {
 public:
  explicit DigestCache(std::filesystem::path path) : path_(std::move(path)) {
    std::error_code ignored;
    if (path_.empty() || !std::filesystem::exists(path_, ignored)) return;
    std::istringstream lines(read_file(path_));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      std::string digest, file;
      FileStamp stamp;
      fields >> digest >> stamp.size >> stamp.mtime_ns >> stamp.inode;
      if (fields.get() != ' ' || !std::getline(fields, file) || digest.size() != 64) continue;
      entries_[file] = {stamp, digest};
    }
  }

  std::string digest(const std::string& file, bool verify) {
    const FileStamp stamp = stamp_of(file);
    const auto known = entries_.find(file);
    if (!verify && known != entries_.end() && known->second.stamp == stamp) {
      return known->second.digest;
    }
    const std::string digest = sha256_file(file);
    entries_[file] = {stamp, digest};
    changed_ = true;
    return digest;
  }

  void save() const {
    if (path_.empty() || !changed_) return;
    std::string text;
    for (const auto& [file, entry] : entries_) {
      if (file.find('\n') != std::string::npos) continue;
      text += fmt::format("{} {} {} {} {}\n", entry.digest, entry.stamp.size, entry.stamp.mtime_ns,
                          entry.stamp.inode, file);
    }
    write_file_atomically(path_, text);
  }

 private:
  struct Entry {
    FileStamp stamp;
    std::string digest;
  };
  std::filesystem::path path_;
  std::unordered_map<std::string, Entry> entries_;
  bool changed_ = false;
};

}  // namespace

void digest_files(Manifest& manifest, const std::filesystem::path& cache_path, bool verify) {
  DigestCache cache(cache_path);
  const std::filesystem::path root = std::filesystem::absolute(manifest.root).lexically_normal();
  for (Sample& sample : manifest.samples) {
    sample.sha256 = cache.digest((root / sample.path).string(), verify);
    if (!sample.mask_path.empty()) {
      sample.mask_sha256 = cache.digest((root / sample.mask_path).string(), verify);
    }
  }
  cache.save();
}

}  // namespace assay
