// A disk that fails, for LD_PRELOAD: counts the calls that change files below $ASSAY_DISK_FOLDER,
// and fails them from number $ASSAY_DISK_FAILS_FROM on.
//
//   ASSAY_DISK_CALLS   the calls meant, of `write`, `fsync`, `rename`, joined by commas
//   ASSAY_DISK_COUNT   a file outside the folder that gets a byte for each call: their number
//
// A failing write says ENOSPC, a failing fsync or rename EIO; a write fails half-way through.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string_view setting(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

bool is_meant(std::string_view path, std::string_view call) {
  const std::string_view folder = setting("ASSAY_DISK_FOLDER");
  return !folder.empty() && path.substr(0, folder.size()) == folder &&
         setting("ASSAY_DISK_CALLS").find(call) != std::string_view::npos;
}

bool fails(std::string_view path, std::string_view call) {
  if (!is_meant(path, call)) return false;
  static std::atomic<long> calls = 0;
  if (const std::string_view count = setting("ASSAY_DISK_COUNT"); !count.empty()) {
    const int file = ::open(count.data(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    static auto* const write_it = real<ssize_t(int, const void*, size_t)>("write");
    if (write_it(file, ".", 1) < 0) std::abort();
    ::close(file);
  }
  const std::string_view from = setting("ASSAY_DISK_FAILS_FROM");
  return !from.empty() && ++calls >= std::atol(from.data());
}

bool fails(int descriptor, std::string_view call) {
  std::array<char, 64> link{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", descriptor);
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink(link.data(), path.data(), path.size());
  return size > 0 && fails(std::string_view(path.data(), static_cast<size_t>(size)), call);
}

int failed(int error) {
  errno = error;
  return -1;
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static auto* const write_it = real<ssize_t(int, const void*, size_t)>("write");
  if (!fails(descriptor, "write")) return write_it(descriptor, bytes, count);
  if (count < 2) return failed(ENOSPC);
  return write_it(descriptor, bytes, count / 2);  // The rest finds the disk full.
}

ssize_t pwrite64(int descriptor, const void* bytes, size_t count, off64_t offset) {
  static auto* const write_it = real<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  if (fails(descriptor, "write")) return failed(ENOSPC);
  return write_it(descriptor, bytes, count, offset);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t count, off_t offset) {
  return pwrite64(descriptor, bytes, count, offset);
}

int fsync(int descriptor) {
  static auto* const fsync_it = real<int(int)>("fsync");
  return fails(descriptor, "fsync") ? failed(EIO) : fsync_it(descriptor);
}

int fdatasync(int descriptor) {
  static auto* const fsync_it = real<int(int)>("fdatasync");
  return fails(descriptor, "fsync") ? failed(EIO) : fsync_it(descriptor);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const rename_it = real<int(const char*, const char*)>("rename");
  return fails(to, "rename") ? failed(EIO) : rename_it(from, to);
}

}  // extern "C"
