#pragma once

#include "core/unique_handle.h"

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

/// HDF5 for the .cpp files that read and write it: handles that close themselves, calls that are
/// checked. Files are never locked by the library (`spec/performance.md` 5.4).
namespace assay::hdf5 {

template <herr_t (*close_handle)(hid_t)>
struct HandleTraits {
  using Handle = hid_t;
  static Handle none() noexcept { return -1; }
  static void close(Handle handle) noexcept { close_handle(handle); }
};

using File = UniqueHandle<HandleTraits<H5Fclose>>;
using Dataset = UniqueHandle<HandleTraits<H5Dclose>>;
using Dataspace = UniqueHandle<HandleTraits<H5Sclose>>;
using Datatype = UniqueHandle<HandleTraits<H5Tclose>>;
using Attribute = UniqueHandle<HandleTraits<H5Aclose>>;
using PropertyList = UniqueHandle<HandleTraits<H5Pclose>>;

/// `code`, which is not negative. Throws DataError with path, call and HDF5's innermost message.
template <typename Code>
Code check(Code code, const std::filesystem::path& path, const char* call);

/// IEEE half, little endian, as h5py writes it: HDF5 before 1.14.4 has no name for it.
[[nodiscard]] Datatype half_type();

/// A new file in place of what is there; old file format, large objects aligned to pages.
[[nodiscard]] File create_file(const std::filesystem::path& path);
enum class Access { kRead, kWrite };
[[nodiscard]] File open_file(const std::filesystem::path& path, Access access);
/// Closes a file that was written: what fails now is lost.
void close_file(File file, const std::filesystem::path& path);

/// A contiguous dataset whose space exists at once and is not filled.
[[nodiscard]] Dataset create_dataset(const File& file,
                                     const std::filesystem::path& path,
                                     const char* name,
                                     hid_t type,
                                     std::span<const std::int64_t> sizes);

/// Sizes, offset and type of a contiguous dataset.
struct DatasetInfo {
  std::vector<std::int64_t> sizes;
  std::int64_t offset = 0;  ///< In the file; 0 where the dataset is empty.
};
/// Throws DataError where there is no contiguous dataset `name` of exactly this type.
[[nodiscard]] DatasetInfo inspect_dataset(const File& file,
                                          const std::filesystem::path& path,
                                          const char* name,
                                          hid_t type);

void write_attribute(const File& file,
                     const std::filesystem::path& path,
                     const char* name,
                     std::int64_t value);
void write_attribute(const File& file,
                     const std::filesystem::path& path,
                     const char* name,
                     const std::string& value);
/// Gives an attribute that exists another value.
void replace_attribute(const File& file,
                       const std::filesystem::path& path,
                       const char* name,
                       std::int64_t value);
[[nodiscard]] std::int64_t read_int64_attribute(const File& file,
                                                const std::filesystem::path& path,
                                                const char* name);
[[nodiscard]] std::string read_string_attribute(const File& file,
                                                const std::filesystem::path& path,
                                                const char* name);

}  // namespace assay::hdf5
