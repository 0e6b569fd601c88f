#include "datasets/mask_store.h"

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"
#include "datasets/decode.h"
#include "datasets/hdf5_file.h"
#include "datasets/image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace assay {
namespace {

namespace fs = std::filesystem;
using Numbers = std::vector<std::int64_t>;

constexpr std::int64_t kFormatVersion = 1;

/// The four arrays of a file.
struct Arrays {
  std::vector<std::int32_t> runs;
  Numbers num_runs, areas, num_areas;

  [[nodiscard]] std::int64_t checksum() const {
    const std::uint64_t parts[] = {
        xxh3(std::as_bytes(std::span(runs))), xxh3(std::as_bytes(std::span(num_runs))),
        xxh3(std::as_bytes(std::span(areas))), xxh3(std::as_bytes(std::span(num_areas)))};
    return static_cast<std::int64_t>(xxh3(std::as_bytes(std::span(parts))));
  }
};

Arrays to_arrays(const MaskSet& set) {
  Arrays arrays;
  for (const MaskRuns& mask : set.masks) {
    for (const MaskRun& run : mask.runs) {
      arrays.runs.insert(arrays.runs.end(), {run.row, run.first, run.last, run.region});
    }
    arrays.num_runs.push_back(static_cast<std::int64_t>(mask.runs.size()));
    arrays.areas.insert(arrays.areas.end(), mask.areas.begin(), mask.areas.end());
    arrays.num_areas.push_back(static_cast<std::int64_t>(mask.areas.size()));
  }
  return arrays;
}

std::vector<MaskRuns> to_masks(const Arrays& arrays, std::int32_t size) {
  std::vector<MaskRuns> masks;
  auto run = arrays.runs.begin();
  auto area = arrays.areas.begin();
  for (std::size_t i = 0; i < arrays.num_runs.size(); ++i) {
    MaskRuns mask{.height = size, .width = size, .runs = {}, .areas = {}};
    for (std::int64_t r = 0; r < arrays.num_runs[i]; ++r, run += 4) {
      mask.runs.push_back({.row = run[0], .first = run[1], .last = run[2], .region = run[3]});
    }
    mask.areas.assign(area, area + arrays.num_areas[i]);
    area += arrays.num_areas[i];
    masks.push_back(std::move(mask));
  }
  return masks;
}

template <typename T>
void write_dataset(const hdf5::File& file,
                   const fs::path& path,
                   const char* name,
                   hid_t type,
                   hid_t native,
                   const std::vector<T>& values,
                   std::int64_t columns) {
  std::vector<std::int64_t> sizes = {static_cast<std::int64_t>(values.size()) / columns};
  if (columns > 1) sizes.push_back(columns);
  const hdf5::Dataset dataset = hdf5::create_dataset(file, path, name, type, sizes);
  if (values.empty()) return;
  hdf5::check(H5Dwrite(dataset.get(), native, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), path,
              "H5Dwrite");
}

template <typename T>
std::vector<T> read_dataset(
    const hdf5::File& file, const fs::path& path, const char* name, hid_t type, hid_t native) {
  std::size_t count = 1;
  for (const std::int64_t size : hdf5::inspect_dataset(file, path, name, type).sizes) {
    count *= static_cast<std::size_t>(size);
  }
  if (count > fs::file_size(path)) throw DataError("{}: '{}' is cut off", path.string(), name);
  std::vector<T> values(count);
  const hdf5::Dataset dataset(
      hdf5::check(H5Dopen2(file.get(), name, H5P_DEFAULT), path, "H5Dopen2"));
  hdf5::check(H5Dread(dataset.get(), native, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), path,
              "H5Dread");
  return values;
}

std::map<std::string, std::int64_t> count_empty(const Manifest& manifest,
                                                const std::vector<MaskRuns>& masks) {
  std::map<std::string, std::int64_t> counts;
  if (!manifest.has_masks) return counts;
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const Sample& sample = manifest.samples[i];
    if (sample.label == 1 && masks[i].runs.empty()) ++counts[sample.category];
  }
  return counts;
}

MaskRuns label_one(const Manifest& manifest, const Sample& sample, std::int32_t size) {
  MaskRuns empty{.height = size, .width = size, .runs = {}, .areas = {}};
  if (sample.mask_path.empty()) return empty;
  const Image image = read_image_header(manifest.root / sample.path);
  const Image mask = read_image(manifest.root / sample.mask_path);
  const std::string where = (manifest.root / sample.mask_path).string();
  if (mask.width != image.width || mask.height != image.height) {
    throw DataError("{}: a mask of {} x {} pixels, its image has {} x {}", where, mask.width,
                    mask.height, image.width, image.height);
  }
  if (std::ranges::find(mask.notes, kNote16Bit) != mask.notes.end()) {
    throw DataError(
        "{}: a 16-bit mask, whose values below 256 would count as normal; save it with 8 bits",
        where);
  }
  return label_mask(preprocess_mask(mask, size), size, size);
}

}  // namespace

MaskSet label_masks(const Manifest& manifest, std::int32_t size) {
  MaskSet set{.size = size, .masks = {}, .num_empty = {}};
  for (const Sample& sample : manifest.samples) {
    set.masks.push_back(label_one(manifest, sample, size));
  }
  set.num_empty = count_empty(manifest, set.masks);
  return set;
}

fs::path mask_store_path(const fs::path& folder,
                         const std::string& manifest_digest,
                         std::int32_t size) {
  return folder / manifest_digest / fmt::format("{}.h5", size);
}

void write_masks(const fs::path& path, const Manifest& manifest, const MaskSet& set) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) {
    throw DataError("{}: the folder cannot be created: {}", path.string(), error.message());
  }
  fs::path temporary = path;
  temporary += fmt::format(".{}.partial", ::getpid());
  try {
    const Arrays arrays = to_arrays(set);
    hdf5::File file = hdf5::create_file(temporary);
    write_dataset(file, path, "run", H5T_STD_I32LE, H5T_NATIVE_INT32, arrays.runs, 4);
    write_dataset(file, path, "num_runs", H5T_STD_I64LE, H5T_NATIVE_INT64, arrays.num_runs, 1);
    write_dataset(file, path, "area", H5T_STD_I64LE, H5T_NATIVE_INT64, arrays.areas, 1);
    write_dataset(file, path, "num_areas", H5T_STD_I64LE, H5T_NATIVE_INT64, arrays.num_areas, 1);
    hdf5::write_attribute(file, path, "format_version", kFormatVersion);
    hdf5::write_attribute(file, path, "manifest_digest", manifest_digest(manifest));
    hdf5::write_attribute(file, path, "size", set.size);
    hdf5::write_attribute(file, path, "checksum", arrays.checksum());
    hdf5::close_file(std::move(file), path);
    const Descriptor written(::open(temporary.c_str(), O_RDONLY | O_CLOEXEC));
    if (!written || ::fsync(written.get()) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
      throw DataError("{}: not written: {}", path.string(), std::strerror(errno));
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  fsync_folder(path.parent_path());
}

MaskSet read_masks(const fs::path& path, const Manifest& manifest, std::int32_t size) {
  const hdf5::File file = hdf5::open_file(path, hdf5::Access::kRead);
  const std::int64_t version = hdf5::read_int64_attribute(file, path, "format_version");
  if (version != kFormatVersion) {
    throw DataError("{}: format version {}, this build reads {}", path.string(), version,
                    kFormatVersion);
  }
  if (hdf5::read_string_attribute(file, path, "manifest_digest") != manifest_digest(manifest) ||
      hdf5::read_int64_attribute(file, path, "size") != size) {
    throw DataError("{}: masks of another manifest or size", path.string());
  }
  Arrays arrays;
  arrays.runs = read_dataset<std::int32_t>(file, path, "run", H5T_STD_I32LE, H5T_NATIVE_INT32);
  arrays.num_runs =
      read_dataset<std::int64_t>(file, path, "num_runs", H5T_STD_I64LE, H5T_NATIVE_INT64);
  arrays.areas = read_dataset<std::int64_t>(file, path, "area", H5T_STD_I64LE, H5T_NATIVE_INT64);
  arrays.num_areas =
      read_dataset<std::int64_t>(file, path, "num_areas", H5T_STD_I64LE, H5T_NATIVE_INT64);
  // The checksum vouches for the counts too: what wrote them wrote the runs.
  if (hdf5::read_int64_attribute(file, path, "checksum") != arrays.checksum() ||
      arrays.num_runs.size() != manifest.samples.size()) {
    throw DataError("{}: damaged: its checksum does not hold", path.string());
  }
  MaskSet set{.size = size, .masks = to_masks(arrays, size), .num_empty = {}};
  set.num_empty = count_empty(manifest, set.masks);
  return set;
}

LoadedMasks load_masks(const Manifest& manifest, const fs::path& folder, std::int32_t size) {
  const fs::path path = mask_store_path(folder, manifest_digest(manifest), size);
  LoadedMasks loaded;
  std::error_code ignored;
  if (fs::exists(path, ignored)) {
    try {
      loaded.set = read_masks(path, manifest, size);
      return loaded;
    } catch (const DataError& error) {
      loaded.refused = error.what();
    }
  }
  loaded.set = label_masks(manifest, size);
  write_masks(path, manifest, loaded.set);
  return loaded;
}

}  // namespace assay
