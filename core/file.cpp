#include "core/file.h"

#include "core/error.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

namespace assay {

void DescriptorTraits::close(Handle descriptor) noexcept { ::close(descriptor); }

bool is_want_of_room(int code) { return code == ENOSPC || code == EDQUOT || code == EFBIG; }

std::string free_bytes_text(const std::filesystem::path& path) {
  struct statvfs disk {};
  const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
  if (::statvfs(path.c_str(), &disk) != 0 && ::statvfs(folder.c_str(), &disk) != 0) return "?";
  return std::to_string(disk.f_bavail * disk.f_frsize);
}

std::string ownership_text(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "owner ?, group ?, mode ?";
  const passwd* user = ::getpwuid(status.st_uid);
  const group* members = ::getgrgid(status.st_gid);
  return fmt::format("owner {}, group {}, mode {:04o}",
                     user != nullptr ? user->pw_name : std::to_string(status.st_uid),
                     members != nullptr ? members->gr_name : std::to_string(status.st_gid),
                     status.st_mode & 07777U);
}

void fsync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder.empty() ? "." : folder;
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor || ::fsync(descriptor.get()) != 0) {
    throw DataError("{}: cannot be made durable: {}", path.string(), std::strerror(errno));
  }
}

namespace {

void write_beside_and_rename(const std::filesystem::path& path,
                             std::span<const std::byte> bytes,
                             bool durable) {
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    throw DataError("{}: the folder cannot be created: {}", path.string(), error.message());
  }
  if (std::filesystem::is_directory(path)) {
    throw DataError("{}: a folder is in the way of this file; move it", path.string());
  }
  std::filesystem::path temporary = path;
  temporary += fmt::format(".{}.partial", ::getpid());
  const auto fail = [&](const char* what) {
    const int code = errno;
    ::unlink(temporary.c_str());
    const std::string free =
        is_want_of_room(code) ? fmt::format(", {} free", free_bytes_text(path)) : "";
    throw DataError("{}: {} failed, {} bytes needed{}: {}", path.string(), what, bytes.size(), free,
                    std::strerror(code));
  };
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file) fail("open");
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    done += static_cast<std::size_t>(count);
  }
  if (durable && ::fsync(file.get()) != 0) fail("fsync");
  if (::close(file.release()) != 0) fail("close");
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail("rename");
  if (durable) fsync_folder(path.parent_path());
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  write_beside_and_rename(path, bytes, /*durable=*/true);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void replace_file(const std::filesystem::path& path, std::string_view text) {
  write_beside_and_rename(path, std::as_bytes(std::span(text)), /*durable=*/false);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (file) content << file.rdbuf();
  if (!file) throw DataError("{}: cannot be read: {}", path.string(), std::strerror(errno));
  return std::move(content).str();
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  // O_NONBLOCK: a pipe is refused, not waited for.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    throw DataError("{}: cannot be opened: {}", path.string(), std::strerror(errno));
  }
  if (S_ISDIR(status.st_mode)) {
    throw DataError("{}: is a folder, expected a file", path.string());
  }
  if (!S_ISREG(status.st_mode)) {
    throw DataError("{}: is a pipe or a device, which cannot be mapped; write it to a file first",
                    path.string());
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) {
    throw DataError("{}: cannot be mapped: {}", path.string(), std::strerror(errno));
  }
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  // munmap takes a mutable pointer to memory that was never written.
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace assay
