#include "runner/scores_file.h"

#include "core/error.h"
#include "core/file.h"
#include "core/unique_handle.h"

#include <ATen/ATen.h>
#include <hdf5.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

namespace assay {
namespace {

constexpr std::int64_t kFormatVersion = 1;

template <herr_t (*Close)(hid_t)>
struct Hdf5Traits {
  using Handle = hid_t;
  static Handle none() noexcept { return H5I_INVALID_HID; }
  static void close(Handle handle) noexcept { Close(handle); }
};
using Hdf5File = UniqueHandle<Hdf5Traits<H5Fclose>>;
using Hdf5Space = UniqueHandle<Hdf5Traits<H5Sclose>>;
using Hdf5Type = UniqueHandle<Hdf5Traits<H5Tclose>>;
using Hdf5Dataset = UniqueHandle<Hdf5Traits<H5Dclose>>;
using Hdf5Attribute = UniqueHandle<Hdf5Traits<H5Aclose>>;

/// `result` of an HDF5 call, which is negative where it failed.
template <typename T>
T hdf5_check(T result, const std::filesystem::path& path, const char* call) {
  if (result < 0) throw DataError("{}: {} failed; is the disk full?", path.string(), call);
  return result;
}

/// Names of one file while it is written or read.
class ScoresFile {
 public:
  ScoresFile(const std::filesystem::path& path, hid_t file) : path_(path), file_(file) {
    if (file < 0) throw DataError("{}: cannot be opened as HDF5", path.string());
  }

  void write(const char* name, hid_t type, std::vector<hsize_t> shape, const void* data) {
    const Hdf5Space space(check(
        H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), "H5Screate"));
    const Hdf5Dataset set(check(
        H5Dcreate2(file_.get(), name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
        "H5Dcreate"));
    check(H5Dwrite(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), "H5Dwrite");
  }

  void write_attribute(const char* name, hid_t type, const void* data) {
    const Hdf5Space space(check(H5Screate(H5S_SCALAR), "H5Screate"));
    const Hdf5Attribute attribute(check(
        H5Acreate2(file_.get(), name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT), "H5Acreate"));
    check(H5Awrite(attribute.get(), type, data), "H5Awrite");
  }

  at::Tensor read_floats(const char* name) {
    const Hdf5Dataset set(check(H5Dopen2(file_.get(), name, H5P_DEFAULT), "H5Dopen"));
    const Hdf5Space space(check(H5Dget_space(set.get()), "H5Dget_space"));
    std::vector<hsize_t> shape(
        static_cast<std::size_t>(check(H5Sget_simple_extent_ndims(space.get()), "H5Sget_ndims")));
    check(H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr), "H5Sget_dims");
    at::Tensor values = at::empty(std::vector<std::int64_t>(shape.begin(), shape.end()));
    check(H5Dread(set.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data_ptr()),
          "H5Dread");
    return values;
  }

  void read_attribute(const char* name, hid_t type, void* data) {
    const Hdf5Attribute attribute(check(H5Aopen(file_.get(), name, H5P_DEFAULT), "H5Aopen"));
    check(H5Aread(attribute.get(), type, data), "H5Aread");
  }

  void close() { check(H5Fclose(file_.release()), "H5Fclose"); }

 private:
  template <typename T>
  T check(T result, const char* call) {
    return hdf5_check(result, path_, call);
  }

  const std::filesystem::path& path_;
  Hdf5File file_;
};

Hdf5Type string_type() {
  Hdf5Type type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

std::vector<hsize_t> shape_of(const at::Tensor& tensor) {
  return {tensor.sizes().begin(), tensor.sizes().end()};
}

void write_content(const std::filesystem::path& path,
                   const std::string& job,
                   const Manifest& manifest,
                   const Scores& scores) {
  ScoresFile file(path, H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  const at::Tensor image_score = scores.image_score.contiguous();
  const at::Tensor map_grid = scores.map_grid.contiguous();
  std::vector<std::uint8_t> labels;
  std::vector<const char*> paths;
  for (const Sample& sample : manifest.samples) {
    labels.push_back(static_cast<std::uint8_t>(sample.label));
    paths.push_back(sample.path.c_str());
  }
  const Hdf5Type text = string_type();
  file.write("image_score", H5T_NATIVE_FLOAT, shape_of(image_score), image_score.data_ptr());
  file.write("map_grid", H5T_NATIVE_FLOAT, shape_of(map_grid), map_grid.data_ptr());
  file.write("label", H5T_NATIVE_UINT8, {labels.size()}, labels.data());
  file.write("path", text.get(), {paths.size()}, paths.data());
  file.write_attribute("format_version", H5T_NATIVE_INT64, &kFormatVersion);
  for (const auto& [name, value] : {std::pair("job", &job), std::pair("dataset", &manifest.dataset),
                                    std::pair("split", &manifest.split)}) {
    const char* characters = value->c_str();
    file.write_attribute(name, text.get(), &characters);
  }
  file.close();
}

}  // namespace

void write_scores(const std::filesystem::path& path,
                  const std::string& job,
                  const Manifest& manifest,
                  const Scores& scores) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // Errors are exceptions, not prints.
  std::filesystem::path temporary = path;
  temporary += fmt::format(".{}.partial", ::getpid());
  try {
    write_content(temporary, job, manifest, scores);
    write_file_atomically(path, read_file(temporary));
    std::filesystem::remove(temporary);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

Scores read_scores(const std::filesystem::path& path, const std::string& job) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  ScoresFile file(path, H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  std::int64_t version = 0;
  file.read_attribute("format_version", H5T_NATIVE_INT64, &version);
  if (version != kFormatVersion) {
    throw DataError("{}: format version {}, this build reads {}", path.string(), version,
                    kFormatVersion);
  }
  const Hdf5Type text = string_type();
  char* characters = nullptr;
  file.read_attribute("job", text.get(), &characters);
  const std::string found = characters == nullptr ? "" : characters;
  H5free_memory(characters);
  if (found != job) throw DataError("{}: scores of job {}, expected {}", path.string(), found, job);
  return {.image_score = file.read_floats("image_score"), .map_grid = file.read_floats("map_grid")};
}

}  // namespace assay
