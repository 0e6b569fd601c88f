#include "core/error.h"
#include "core/file.h"
#include "datasets/feature_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>

namespace assay {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const char* what, int code) {
  throw DataError("{}: {} failed: {}", path.string(), what, std::strerror(code));
}

bool lock(const Descriptor& file) { return ::flock(file.get(), LOCK_EX | LOCK_NB) == 0; }

bool is_still(const Descriptor& file, const fs::path& path) {
  struct stat opened {
  }, named{};
  return ::fstat(file.get(), &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/// The file under `path`, claimed; nothing where there is none.
std::optional<Descriptor> claim_existing(const fs::path& path) {
  for (;;) {
    Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!file && errno == ENOENT) return std::nullopt;
    if (!file && errno == EACCES) {
      throw DataError("{}: cannot be written: {}; its owner must give it to the group (chmod g+w)",
                      path.string(), ownership_text(path));
    }
    if (!file) fail(path, "open", errno);
    if (!lock(file)) {
      if (errno != EWOULDBLOCK) fail(path, "flock", errno);
      throw DataError("{}: another process is writing it; wait for it or end it", path.string());
    }
    if (is_still(file, path)) return file;  // Else its writer has just renamed it.
  }
}

// What was killed while it created a file leaves this behind, unlocked.
void remove_abandoned(const fs::path& path) {
  const std::string prefix = path.filename().string() + ".new-";
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path.parent_path(), error)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const auto age = fs::file_time_type::clock::now() - entry.last_write_time(error);
    const Descriptor file(::open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
    if (file && age > std::chrono::minutes(1) && lock(file)) ::unlink(entry.path().c_str());
  }
}

// The room for every record is taken at once: a full disk is found before anything is computed.
void reserve(const Descriptor& file, const fs::path& path) {
  const std::int64_t bytes = read_feature_file(path).size_bytes();
  if (::fallocate(file.get(), 0, 0, bytes) == 0) return;
  const int code = errno;
  if (!is_want_of_room(code)) return;  // Not on every file system.
  throw DataError("{}: {} bytes needed, {} free: {}", path.string(), bytes, free_bytes_text(path),
                  std::strerror(code));
}

/// A file of its own beside `path`, whose name it writes to `name`. Not mkostemp's, which is
/// private: who may use it say umask and folder.
Descriptor new_file_beside(const fs::path& path, std::string& name) {
  std::random_device random;
  for (;;) {
    name = fmt::format("{}.new-{:08x}", path.string(), random());
    Descriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file) return file;
    if (errno != EEXIST) fail(name, "open", errno);
  }
}

/// Makes a whole file beside `path` and gives it that name. False where somebody else was faster.
bool create(const fs::path& path, const ShardLayout& layout, Descriptor& claimed) {
  std::string temporary;
  Descriptor file = new_file_beside(path, temporary);
  if (!lock(file)) fail(temporary, "flock", errno);
  try {
    create_feature_file(temporary, layout);
    reserve(file, temporary);
    if (::fsync(file.get()) != 0) fail(temporary, "fsync", errno);
    // link, unlike rename, replaces nothing.
    if (::link(temporary.c_str(), path.c_str()) != 0 && errno != EEXIST) {
      fail(path, "link", errno);
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  ::unlink(temporary.c_str());
  fsync_folder(path.parent_path());
  const bool first = is_still(file, path);
  if (first) claimed = std::move(file);
  return first;
}

bool has_layout(const FeatureFile& file, const ShardLayout& layout) {
  return file.feature_key == layout.feature_key && file.shard == layout.shard &&
         file.num_shards == layout.num_shards && file.streams == layout.streams &&
         file.layers == layout.layers && file.patches == layout.patches &&
         file.channels == layout.channels && file.image_sha256 == layout.image_sha256;
}

bool is_usable(const fs::path& path, const ShardLayout& layout) {
  try {
    return has_layout(read_feature_file(path), layout);
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

Descriptor claim_feature_file(const fs::path& path, const ShardLayout& layout) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) {
    throw DataError("{}: the folder cannot be created: {}", path.string(), error.message());
  }
  remove_abandoned(path);
  for (;;) {
    if (std::optional<Descriptor> existing = claim_existing(path)) {
      if (is_usable(path, layout)) return std::move(*existing);
      ::unlink(path.c_str());  // Damaged or of another layout: nothing in it can be kept.
    }
    Descriptor claimed;
    if (create(path, layout, claimed)) return claimed;
  }
}

}  // namespace assay
