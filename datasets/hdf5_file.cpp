#include "datasets/hdf5_file.h"

#include "core/error.h"

#include <algorithm>

namespace assay::hdf5 {
namespace {

namespace fs = std::filesystem;

herr_t keep_innermost(unsigned, const H5E_error2_t* entry, void* text) {
  *static_cast<std::string*>(text) = entry->desc != nullptr ? entry->desc : "";
  return 1;  // Stops the walk.
}

std::string innermost_message() {
  std::string text = "unknown error";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &text);
  return text;
}

PropertyList access_list(const fs::path& path) {
  PropertyList list(check(H5Pcreate(H5P_FILE_ACCESS), path, "H5Pcreate"));
  check(H5Pset_file_locking(list.get(), /*use=*/false, /*ignore_when_disabled=*/true), path,
        "H5Pset_file_locking");
  check(H5Pset_libver_bounds(list.get(), H5F_LIBVER_EARLIEST, H5F_LIBVER_V110), path,
        "H5Pset_libver_bounds");
  check(H5Pset_alignment(list.get(), /*threshold=*/65536, /*alignment=*/4096), path,
        "H5Pset_alignment");
  return list;
}

Attribute open_attribute(const File& file, const fs::path& path, const char* name) {
  const htri_t exists = check(H5Aexists(file.get(), name), path, "H5Aexists");
  if (exists == 0) throw DataError("{}: no attribute '{}'", path.string(), name);
  return Attribute(check(H5Aopen(file.get(), name, H5P_DEFAULT), path, "H5Aopen"));
}

Attribute create_attribute(const File& file, const fs::path& path, const char* name, hid_t type) {
  const Dataspace scalar(check(H5Screate(H5S_SCALAR), path, "H5Screate"));
  return Attribute(check(H5Acreate2(file.get(), name, type, scalar.get(), H5P_DEFAULT, H5P_DEFAULT),
                         path, "H5Acreate2"));
}

}  // namespace

template <typename Code>
Code check(Code code, const fs::path& path, const char* call) {
  if (code < 0) throw DataError("{}: {} failed: {}", path.string(), call, innermost_message());
  return code;
}
template herr_t check(herr_t, const fs::path&, const char*);
template hid_t check(hid_t, const fs::path&, const char*);

Datatype half_type() {
  Datatype type(check(H5Tcopy(H5T_IEEE_F32LE), "float16", "H5Tcopy"));
  check(H5Tset_fields(type.get(), 15, 10, 5, 0, 10), "float16", "H5Tset_fields");
  check(H5Tset_size(type.get(), 2), "float16", "H5Tset_size");
  check(H5Tset_ebias(type.get(), 15), "float16", "H5Tset_ebias");
  return type;
}

File create_file(const fs::path& path) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // Errors are thrown, not printed.
  const PropertyList access = access_list(path);
  return File(
      check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), path, "H5Fcreate"));
}

File open_file(const fs::path& path, Access access) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const PropertyList list = access_list(path);
  const unsigned flags = access == Access::kRead ? H5F_ACC_RDONLY : H5F_ACC_RDWR;
  File file(H5Fopen(path.c_str(), flags, list.get()));
  if (!file) {
    throw DataError("{}: cannot be read as HDF5 ({}); is it cut off, or another kind of file?",
                    path.string(), innermost_message());
  }
  return file;
}

void close_file(File file, const fs::path& path) {
  check(H5Fclose(file.release()), path, "H5Fclose");
}

Dataset create_dataset(const File& file,
                       const fs::path& path,
                       const char* name,
                       hid_t type,
                       std::span<const std::int64_t> sizes) {
  const std::vector<hsize_t> extents(sizes.begin(), sizes.end());
  const Dataspace space(
      check(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), path,
            "H5Screate_simple"));
  const PropertyList list(check(H5Pcreate(H5P_DATASET_CREATE), path, "H5Pcreate"));
  check(H5Pset_layout(list.get(), H5D_CONTIGUOUS), path, "H5Pset_layout");
  check(H5Pset_alloc_time(list.get(), H5D_ALLOC_TIME_EARLY), path, "H5Pset_alloc_time");
  check(H5Pset_fill_time(list.get(), H5D_FILL_TIME_NEVER), path, "H5Pset_fill_time");
  // Equal content, equal bytes: no time of day in it.
  check(H5Pset_obj_track_times(list.get(), false), path, "H5Pset_obj_track_times");
  return Dataset(
      check(H5Dcreate2(file.get(), name, type, space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT),
            path, "H5Dcreate2"));
}

DatasetInfo inspect_dataset(const File& file, const fs::path& path, const char* name, hid_t type) {
  if (H5Lexists(file.get(), name, H5P_DEFAULT) <= 0) {
    throw DataError("{}: no dataset '{}'", path.string(), name);
  }
  const Dataset dataset(check(H5Dopen2(file.get(), name, H5P_DEFAULT), path, "H5Dopen2"));
  const Datatype stored(check(H5Dget_type(dataset.get()), path, "H5Dget_type"));
  if (check(H5Tequal(stored.get(), type), path, "H5Tequal") == 0) {
    throw DataError("{}: dataset '{}' has another type of number", path.string(), name);
  }
  const PropertyList list(check(H5Dget_create_plist(dataset.get()), path, "H5Dget_create_plist"));
  if (H5Pget_layout(list.get()) != H5D_CONTIGUOUS) {
    throw DataError("{}: dataset '{}' is not contiguous", path.string(), name);
  }
  const Dataspace space(check(H5Dget_space(dataset.get()), path, "H5Dget_space"));
  std::vector<hsize_t> extents(static_cast<std::size_t>(
      check(H5Sget_simple_extent_ndims(space.get()), path, "H5Sget_simple_extent_ndims")));
  check(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr), path,
        "H5Sget_simple_extent_dims");
  DatasetInfo info;
  info.sizes.assign(extents.begin(), extents.end());
  const haddr_t offset = H5Dget_offset(dataset.get());
  if (offset != HADDR_UNDEF) info.offset = static_cast<std::int64_t>(offset);
  if (offset == HADDR_UNDEF && std::ranges::count(extents, hsize_t{0}) == 0) {
    throw DataError("{}: dataset '{}' has no place in the file", path.string(), name);
  }
  return info;
}

void write_attribute(const File& file, const fs::path& path, const char* name, std::int64_t value) {
  const Attribute attribute = create_attribute(file, path, name, H5T_STD_I64LE);
  check(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), path, "H5Awrite");
}

void write_attribute(const File& file,
                     const fs::path& path,
                     const char* name,
                     const std::string& value) {
  const Datatype type(check(H5Tcopy(H5T_C_S1), path, "H5Tcopy"));
  check(H5Tset_size(type.get(), value.size() + 1), path, "H5Tset_size");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), path, "H5Tset_cset");
  const Attribute attribute = create_attribute(file, path, name, type.get());
  check(H5Awrite(attribute.get(), type.get(), value.c_str()), path, "H5Awrite");
}

void replace_attribute(const File& file,
                       const fs::path& path,
                       const char* name,
                       std::int64_t value) {
  const Attribute attribute = open_attribute(file, path, name);
  check(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), path, "H5Awrite");
}

std::int64_t read_int64_attribute(const File& file, const fs::path& path, const char* name) {
  const Attribute attribute = open_attribute(file, path, name);
  std::int64_t value = 0;
  check(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), path, "H5Aread");
  return value;
}

std::string read_string_attribute(const File& file, const fs::path& path, const char* name) {
  const Attribute attribute = open_attribute(file, path, name);
  const Datatype type(check(H5Aget_type(attribute.get()), path, "H5Aget_type"));
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0) {
    throw DataError("{}: attribute '{}' is not a string", path.string(), name);
  }
  std::string value(H5Tget_size(type.get()), '\0');
  check(H5Aread(attribute.get(), type.get(), value.data()), path, "H5Aread");
  value.resize(std::min(value.size(), value.find('\0')));
  return value;
}

}  // namespace assay::hdf5
