#include "runner/scores_file.h"

#include "core/error.h"
#include "core/file.h"
#include "datasets/hdf5_file.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

namespace assay {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kFormatVersion = 2;

void write_dataset(const hdf5::File& file,
                   const fs::path& path,
                   const char* name,
                   hid_t type,
                   std::span<const std::int64_t> sizes,
                   const void* data) {
  const hdf5::Dataset dataset = hdf5::create_dataset(file, path, name, type, sizes);
  hdf5::check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), path, "H5Dwrite");
}

at::Tensor read_floats(const hdf5::File& file, const fs::path& path, const char* name) {
  at::Tensor values =
      at::empty(hdf5::inspect_dataset(file, path, name, H5T_NATIVE_FLOAT).sizes, at::kFloat);
  const hdf5::Dataset dataset(
      hdf5::check(H5Dopen2(file.get(), name, H5P_DEFAULT), path, "H5Dopen2"));
  hdf5::check(H5Dread(dataset.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                      values.data_ptr<float>()),
              path, "H5Dread");
  return values;
}

/// Strings of one length, zeros behind the shorter ones, as h5py reads them.
void write_texts(const hdf5::File& file,
                 const fs::path& path,
                 const char* name,
                 const std::vector<std::string>& texts) {
  std::size_t length = 1;
  for (const std::string& text : texts) length = std::max(length, text.size());
  std::string rows;
  for (std::string text : texts) {
    text.resize(length);
    rows += text;
  }
  const hdf5::Datatype type(hdf5::check(H5Tcopy(H5T_C_S1), path, "H5Tcopy"));
  hdf5::check(H5Tset_size(type.get(), length), path, "H5Tset_size");
  hdf5::check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), path, "H5Tset_strpad");
  hdf5::check(H5Tset_cset(type.get(), H5T_CSET_UTF8), path, "H5Tset_cset");
  const std::int64_t count = std::ssize(texts);
  write_dataset(file, path, name, type.get(), {&count, 1}, rows.data());
}

void write_content(const fs::path& path,
                   const std::string& job,
                   const Manifest& manifest,
                   const Scores& scores) {
  hdf5::File file = hdf5::create_file(path);
  const at::Tensor image_score = scores.image_score.contiguous();
  const at::Tensor map_grid = scores.map_grid.contiguous();
  std::vector<std::uint8_t> labels;
  std::vector<std::string> paths;
  for (const Sample& sample : manifest.samples) {
    labels.push_back(static_cast<std::uint8_t>(sample.label));
    paths.push_back(sample.path);
  }
  const std::int64_t count = std::ssize(labels);
  write_dataset(file, path, "image_score", H5T_NATIVE_FLOAT, image_score.sizes(),
                image_score.const_data_ptr<float>());
  write_dataset(file, path, "map_grid", H5T_NATIVE_FLOAT, map_grid.sizes(),
                map_grid.const_data_ptr<float>());
  write_dataset(file, path, "label", H5T_NATIVE_UINT8, {&count, 1}, labels.data());
  write_texts(file, path, "path", paths);
  hdf5::write_attribute(file, path, "format_version", kFormatVersion);
  hdf5::write_attribute(file, path, "job", job);
  hdf5::write_attribute(file, path, "dataset", manifest.dataset);
  hdf5::write_attribute(file, path, "split", manifest.split);
  hdf5::close_file(std::move(file), path);
}

}  // namespace

void write_scores(const std::filesystem::path& path,
                  const std::string& job,
                  const Manifest& manifest,
                  const Scores& scores) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".{}.partial", ::getpid());
  std::filesystem::create_directories(path.parent_path());
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
  const hdf5::File file = hdf5::open_file(path, hdf5::Access::kRead);
  const std::int64_t version = hdf5::read_int64_attribute(file, path, "format_version");
  if (version != kFormatVersion) {
    throw DataError("{}: format version {}, this build reads {}", path.string(), version,
                    kFormatVersion);
  }
  const std::string found = hdf5::read_string_attribute(file, path, "job");
  if (found != job) throw DataError("{}: scores of job {}, expected {}", path.string(), found, job);
  return {.image_score = read_floats(file, path, "image_score"),
          .map_grid = read_floats(file, path, "map_grid")};
}

}  // namespace assay
