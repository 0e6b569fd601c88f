#include "datasets/feature_file.h"

#include "core/error.h"
#include "datasets/hdf5_file.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

namespace assay {
namespace {

namespace fs = std::filesystem;
using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t kFormatVersion = 1;
constexpr std::int64_t kDigestBytes = 32;

std::vector<std::uint8_t> digests_to_bytes(const std::vector<std::string>& digests) {
  std::vector<std::uint8_t> bytes;
  for (const std::string& digest : digests) {
    if (digest.size() != 2 * kDigestBytes) {
      throw std::invalid_argument("a feature shard needs the SHA-256 of every image");
    }
    for (std::size_t i = 0; i < digest.size(); i += 2) {
      std::uint8_t byte = 0;
      std::from_chars(digest.data() + i, digest.data() + i + 2, byte, 16);
      bytes.push_back(byte);
    }
  }
  return bytes;
}

std::vector<std::string> bytes_to_digests(const std::vector<std::uint8_t>& bytes) {
  std::vector<std::string> digests(bytes.size() / kDigestBytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    digests[i / kDigestBytes] += fmt::format("{:02x}", bytes[i]);
  }
  return digests;
}

template <typename T>
void write_all(const hdf5::Dataset& dataset,
               const fs::path& path,
               hid_t type,
               const std::vector<T>& values) {
  if (values.empty()) return;
  hdf5::check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), path,
              "H5Dwrite");
}

std::vector<std::uint8_t> read_digests(const hdf5::File& file, const fs::path& path) {
  const hdf5::DatasetInfo info = hdf5::inspect_dataset(file, path, "image_sha256", H5T_STD_U8LE);
  if (info.sizes.size() != 2 || info.sizes[1] != kDigestBytes) {
    throw DataError("{}: 'image_sha256' is not [n, 32]", path.string());
  }
  const std::uintmax_t bytes = static_cast<std::uintmax_t>(info.sizes[0]) * kDigestBytes;
  if (bytes > fs::file_size(path)) throw DataError("{}: cut off", path.string());
  std::vector<std::uint8_t> digests(bytes);
  if (digests.empty()) return digests;
  const hdf5::Dataset dataset(
      hdf5::check(H5Dopen2(file.get(), "image_sha256", H5P_DEFAULT), path, "H5Dopen2"));
  hdf5::check(
      H5Dread(dataset.get(), H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, digests.data()), path,
      "H5Dread");
  return digests;
}

std::int64_t product(const Sizes& sizes, std::size_t first) {
  std::int64_t count = 1;
  for (std::size_t i = first; i < sizes.size(); ++i) count *= sizes[i];
  return count;
}

}  // namespace

std::int64_t FeatureFile::size_bytes() const {
  std::int64_t end = done_offset + num_records() * 8;
  for (const RecordPart& part : {patch, norm, global}) {
    end = std::max(end, part.offset + num_records() * part.record_bytes);
  }
  return end;
}

void create_feature_file(const fs::path& path, const ShardLayout& layout) {
  const auto n = static_cast<std::int64_t>(layout.image_sha256.size());
  const std::vector<std::uint8_t> digests = digests_to_bytes(layout.image_sha256);
  hdf5::File file = hdf5::create_file(path);
  const auto create = [&](const char* name, hid_t type, const Sizes& sizes) {
    return hdf5::create_dataset(file, path, name, type, sizes);
  };
  (void)create("patch", hdf5::half_type().get(),
               {n, layout.streams, layout.layers, layout.patches, layout.channels});
  (void)create("norm", H5T_IEEE_F32LE, {n, layout.streams, layout.layers, layout.patches});
  (void)create("global", H5T_IEEE_F32LE, {n, layout.channels});
  write_all(create("image_sha256", H5T_STD_U8LE, {n, kDigestBytes}), path, H5T_NATIVE_UINT8,
            digests);
  write_all(create("done", H5T_STD_U64LE, {n}), path, H5T_NATIVE_UINT64,
            std::vector<std::uint64_t>(layout.image_sha256.size(), 0));
  hdf5::write_attribute(file, path, "format_version", kFormatVersion);
  hdf5::write_attribute(file, path, "feature_key", layout.feature_key);
  hdf5::write_attribute(file, path, "key_fields", layout.key_fields.dump());
  hdf5::write_attribute(file, path, "shard", layout.shard);
  hdf5::write_attribute(file, path, "num_shards", layout.num_shards);
  hdf5::write_attribute(file, path, "complete", 0);
  hdf5::close_file(std::move(file), path);
}

FeatureFile read_feature_file(const fs::path& path) {
  const hdf5::File file = hdf5::open_file(path, hdf5::Access::kRead);
  const std::int64_t version = hdf5::read_int64_attribute(file, path, "format_version");
  if (version != kFormatVersion) {
    throw DataError("{}: format version {}, this build reads {}; run 'assay encode' again",
                    path.string(), version, kFormatVersion);
  }
  FeatureFile result;
  result.feature_key = hdf5::read_string_attribute(file, path, "feature_key");
  result.key_fields = nlohmann::json::parse(hdf5::read_string_attribute(file, path, "key_fields"),
                                            nullptr, /*allow_exceptions=*/false);
  result.shard = hdf5::read_int64_attribute(file, path, "shard");
  result.num_shards = hdf5::read_int64_attribute(file, path, "num_shards");
  result.complete = hdf5::read_int64_attribute(file, path, "complete") == 1;
  result.image_sha256 = bytes_to_digests(read_digests(file, path));

  const auto inspect = [&](const char* name, hid_t type, std::size_t rank) {
    hdf5::DatasetInfo info = hdf5::inspect_dataset(file, path, name, type);
    if (info.sizes.size() != rank || info.sizes[0] != result.num_records()) {
      throw DataError("{}: '{}' has another shape than its images ask for", path.string(), name);
    }
    return info;
  };
  const hdf5::DatasetInfo patch = inspect("patch", hdf5::half_type().get(), 5);
  const hdf5::DatasetInfo norm = inspect("norm", H5T_IEEE_F32LE, 4);
  const hdf5::DatasetInfo global = inspect("global", H5T_IEEE_F32LE, 2);
  result.done_offset = inspect("done", H5T_STD_U64LE, 1).offset;
  result.streams = patch.sizes[1];
  result.layers = patch.sizes[2];
  result.patches = patch.sizes[3];
  result.channels = patch.sizes[4];
  if (norm.sizes != Sizes(patch.sizes.begin(), patch.sizes.end() - 1) ||
      global.sizes[1] != result.channels) {
    throw DataError("{}: 'patch', 'norm' and 'global' do not fit each other", path.string());
  }
  result.patch = {patch.offset, 2 * product(patch.sizes, 1)};
  result.norm = {norm.offset, 4 * product(norm.sizes, 1)};
  result.global = {global.offset, 4 * result.channels};
  const auto bytes = static_cast<std::int64_t>(fs::file_size(path));
  if (bytes < result.size_bytes()) {
    throw DataError("{}: cut off: {} bytes, its arrays need {}", path.string(), bytes,
                    result.size_bytes());
  }
  return result;
}

void mark_feature_file_complete(const fs::path& path) {
  hdf5::File file = hdf5::open_file(path, hdf5::Access::kWrite);
  hdf5::replace_attribute(file, path, "complete", 1);
  hdf5::close_file(std::move(file), path);
}

std::string key_difference(const FeatureFile& file,
                           const std::string& feature_key,
                           const nlohmann::json& key_fields) {
  if (key_fields.is_object() && file.key_fields.is_object()) {
    for (const auto& [name, wanted] : key_fields.items()) {
      const nlohmann::json found = file.key_fields.value(name, nlohmann::json());
      if (found != wanted) {
        return fmt::format("made with {} {}, wanted is {}", name, found.dump(), wanted.dump());
      }
    }
    for (const auto& [name, found] : file.key_fields.items()) {
      if (!key_fields.contains(name)) {
        return fmt::format("made with {} {}, which is not wanted", name, found.dump());
      }
    }
  }
  if (file.feature_key == feature_key) return {};
  return fmt::format("feature key {}, wanted is {}", file.feature_key, feature_key);
}

std::uint64_t done_word(std::span<const std::byte> patch,
                        std::span<const std::byte> norm,
                        std::span<const std::byte> global) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  if (!state || XXH3_64bits_reset(state.get()) != XXH_OK) throw Error("XXH3_64bits_reset failed");
  for (const std::span<const std::byte> part : {patch, norm, global}) {
    if (XXH3_64bits_update(state.get(), part.data(), part.size()) != XXH_OK) {
      throw Error("XXH3_64bits_update failed");
    }
  }
  return std::uint64_t{1} << 63 | XXH3_64bits_digest(state.get()) >> 1;
}

}  // namespace assay
