// A disk that fails, for LD_PRELOAD: counts the calls that change files below $ASSAY_DISK_FOLDER,
// in all processes together, and fails some of them.
//
//   ASSAY_DISK_CALLS       the kinds meant, joined by commas: write (write, pwrite, writev),
//                          fsync (and fdatasync), rename, link, truncate, allocate (fallocate),
//                          create (open with O_CREAT, fopen to write, mkostemp, mkdir)
//   ASSAY_DISK_COUNT       a file outside the folder that gets the kind's first letter a call
//   ASSAY_DISK_PROGRAM     the program meant, by its name; empty: all
//   ASSAY_DISK_FAILS_FROM  the first call to fail, from 1; empty: none
//   ASSAY_DISK_FAILS_UNTIL the last one; empty: all from then on
//   ASSAY_DISK_ERROR       28 (ENOSPC), 122 (EDQUOT), 5 (EIO); empty: as the kind's first cause
//
// A full disk takes half of what `write` brings; whoever brings the rest hears of it.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

/// The function that this library stands before: `real<decltype(::fsync)>("fsync")`.
template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string_view setting(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

long number(const char* name, long fallback) {
  const std::string_view text = setting(name);
  return text.empty() ? fallback : std::atol(text.data());
}

bool is_meant(std::string_view path, std::string_view kind) {
  const std::string_view folder = setting("ASSAY_DISK_FOLDER");
  const std::string_view program = setting("ASSAY_DISK_PROGRAM");
  return !folder.empty() && path.substr(0, folder.size()) == folder &&
         (program.empty() || program == program_invocation_short_name) &&
         setting("ASSAY_DISK_CALLS").find(kind) != std::string_view::npos;
}

/// The number of this call among all that are meant.
long count_call(std::string_view kind) {
  static auto* const open_it = real<decltype(::open)>("open");
  static auto* const write_it = real<decltype(::write)>("write");
  const int file =
      open_it(setting("ASSAY_DISK_COUNT").data(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (write_it(file, kind.data(), 1) < 0) std::abort();
  const off_t calls = ::lseek(file, 0, SEEK_CUR);
  ::close(file);
  return calls;
}

int error_of(std::string_view kind) {
  const bool of_the_device = kind == "fsync" || kind == "rename";
  return static_cast<int>(number("ASSAY_DISK_ERROR", of_the_device ? EIO : ENOSPC));
}

/// Whether this call fails; then `errno` says why.
bool fails(std::string_view path, std::string_view kind) {
  if (!is_meant(path, kind)) return false;
  const int before = errno;
  const long call = count_call(kind);
  errno = before;
  if (call < number("ASSAY_DISK_FAILS_FROM", LONG_MAX) ||
      call > number("ASSAY_DISK_FAILS_UNTIL", LONG_MAX)) {
    return false;
  }
  errno = error_of(kind);
  return true;
}

bool fails(int descriptor, std::string_view kind) {
  const int before = errno;
  std::array<char, 64> link{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", descriptor);
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink(link.data(), path.data(), path.size());
  errno = before;
  return size > 0 && fails(std::string_view(path.data(), static_cast<size_t>(size)), kind);
}

/// Opening a file makes nothing where it is there already.
bool creation_fails(const char* path, int flags) {
  return (flags & O_CREAT) != 0 && ::access(path, F_OK) != 0 && fails(path, "create");
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

bool creation_fails(const char* path, const char* mode) {
  return mode[0] != 'r' && creation_fails(path, O_CREAT);
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static auto* const write_it = real<decltype(::write)>("write");
  if (!fails(descriptor, "write")) return write_it(descriptor, bytes, count);
  if (count < 2 || errno == EIO) return -1;
  return write_it(descriptor, bytes, count / 2);
}

ssize_t pwrite64(int descriptor, const void* bytes, size_t count, off64_t offset) {
  static auto* const write_it = real<decltype(::pwrite64)>("pwrite64");
  return fails(descriptor, "write") ? -1 : write_it(descriptor, bytes, count, offset);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t count, off_t offset) {
  return pwrite64(descriptor, bytes, count, offset);
}

ssize_t writev(int descriptor, const iovec* parts, int count) {
  static auto* const write_it = real<decltype(::writev)>("writev");
  return fails(descriptor, "write") ? -1 : write_it(descriptor, parts, count);
}

ssize_t pwritev64(int descriptor, const iovec* parts, int count, off64_t offset) {
  static auto* const write_it = real<decltype(::pwritev64)>("pwritev64");
  return fails(descriptor, "write") ? -1 : write_it(descriptor, parts, count, offset);
}

ssize_t pwritev(int descriptor, const iovec* parts, int count, off_t offset) {
  return pwritev64(descriptor, parts, count, offset);
}

int fsync(int descriptor) {
  static auto* const fsync_it = real<decltype(::fsync)>("fsync");
  return fails(descriptor, "fsync") ? -1 : fsync_it(descriptor);
}

int fdatasync(int descriptor) {
  static auto* const fsync_it = real<decltype(::fdatasync)>("fdatasync");
  return fails(descriptor, "fsync") ? -1 : fsync_it(descriptor);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const rename_it = real<int(const char*, const char*)>("rename");
  return fails(to, "rename") ? -1 : rename_it(from, to);
}

int link(const char* from, const char* to) noexcept {
  static auto* const link_it = real<int(const char*, const char*)>("link");
  return fails(to, "link") ? -1 : link_it(from, to);
}

int ftruncate64(int descriptor, off64_t size) noexcept {
  static auto* const truncate_it = real<int(int, off64_t)>("ftruncate64");
  return fails(descriptor, "truncate") ? -1 : truncate_it(descriptor, size);
}

int ftruncate(int descriptor, off_t size) noexcept { return ftruncate64(descriptor, size); }

int fallocate64(int descriptor, int mode, off64_t offset, off64_t size) {
  static auto* const allocate_it = real<decltype(::fallocate64)>("fallocate64");
  return fails(descriptor, "allocate") ? -1 : allocate_it(descriptor, mode, offset, size);
}

int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  return fallocate64(descriptor, mode, offset, size);
}

int open64(const char* path, int flags, ...) {
  static auto* const open_it = real<decltype(::open64)>("open64");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return creation_fails(path, flags) ? -1 : open_it(path, flags, mode);
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open64(path, flags, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  static auto* const open_it = real<decltype(::fopen64)>("fopen64");
  return creation_fails(path, mode) ? nullptr : open_it(path, mode);
}

FILE* fopen(const char* path, const char* mode) { return fopen64(path, mode); }

int mkostemp64(char* path, int flags) {
  static auto* const open_it = real<decltype(::mkostemp64)>("mkostemp64");
  return fails(path, "create") ? -1 : open_it(path, flags);
}

int mkostemp(char* path, int flags) { return mkostemp64(path, flags); }

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const make_it = real<int(const char*, mode_t)>("mkdir");
  return creation_fails(path, O_CREAT) ? -1 : make_it(path, mode);
}

}  // extern "C"
