#pragma once

#include "core/unique_handle.h"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace assay {

struct DescriptorTraits {
  using Handle = int;
  static Handle none() noexcept { return -1; }
  static void close(Handle descriptor) noexcept;
};
/// Sole owner of a POSIX file descriptor.
using Descriptor = UniqueHandle<DescriptorTraits>;

/// Whether a call failed with `code` (errno) for want of room: a full disk, a quota reached, a file
/// larger than a limit.
[[nodiscard]] bool is_want_of_room(int code);

/// The bytes that are free on the disk of `path`, or of the folder where it would be; `?` where it
/// does not say. A quota may leave less.
[[nodiscard]] std::string free_bytes_text(const std::filesystem::path& path);

/// Writes `bytes` beside `path`, fsyncs, renames over `path` and fsyncs the folder: a reader sees
/// the old file or the whole new one, whatever is killed when. Creates missing folders. Throws
/// DataError with the path and the bytes needed (and free, on a full disk), and where a folder is
/// in the way.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// As `write_file_atomically`, but a power cut may take it: for what says nothing that lasts.
void replace_file(const std::filesystem::path& path, std::string_view text);

/// The whole content of a file. Throws DataError where it cannot be read.
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// Whose a file is and who may use it, for messages: `owner ada, group lab, mode 0644`. Of what is
/// not there the same words with question marks.
[[nodiscard]] std::string ownership_text(const std::filesystem::path& path);

/// Makes a rename or a new entry in `folder` durable.
void fsync_folder(const std::filesystem::path& folder);

/// Read-only memory map of a whole file.
class MappedFile {
 public:
  /// Throws DataError where `path` cannot be opened or mapped, as folders and pipes cannot.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace assay
