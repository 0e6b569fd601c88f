#pragma once

#include "core/file.h"
#include "datasets/feature_layout.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

/// The file of one feature shard without its numbers: metadata through HDF5, places of the arrays.
/// The format is described at `ShardLayout` (`feature_layout.h`).
namespace assay {

/// A record's three arrays and where they lie in the file.
struct RecordPart {
  std::int64_t offset = 0;        ///< Of record 0.
  std::int64_t record_bytes = 0;  ///< Of one record.
};

/// What the metadata of a shard's file says.
struct FeatureFile {
  std::string feature_key;
  nlohmann::json key_fields;
  std::int64_t streams = 0, layers = 0, patches = 0, channels = 0;
  std::int64_t shard = 0, num_shards = 0;
  std::vector<std::string> image_sha256;
  bool complete = false;
  RecordPart patch, norm, global;
  std::int64_t done_offset = 0;

  [[nodiscard]] std::int64_t num_records() const {
    return static_cast<std::int64_t>(image_sha256.size());
  }
  /// Where the last array ends.
  [[nodiscard]] std::int64_t size_bytes() const;
};

/// Creates the file with all arrays allocated and no record done, and closes it. Throws DataError.
void create_feature_file(const std::filesystem::path& path, const ShardLayout& layout);

/// Reads the metadata. Throws DataError, naming the file, where it is no file of format 1, is cut
/// off, or has arrays of other types or sizes.
[[nodiscard]] FeatureFile read_feature_file(const std::filesystem::path& path);

/// Sets the attribute `complete`.
void mark_feature_file_complete(const std::filesystem::path& path);

/// Empty where the file has the key and fields that are wanted (null: only the key is compared);
/// otherwise which field differs, with both values.
[[nodiscard]] std::string key_difference(const FeatureFile& file,
                                         const std::string& feature_key,
                                         const nlohmann::json& key_fields);

/// The done word of a record: bit 63 and the upper 63 bits of the XXH3-64 of its parts' bytes, one
/// after another. Never 0.
[[nodiscard]] std::uint64_t done_word(std::span<const std::byte> patch,
                                      std::span<const std::byte> norm,
                                      std::span<const std::byte> global);

/// Opens `path` for reading and writing and claims it (flock) for this process, creating it first
/// where it is not there or not a file of this layout. It appears under its name only when whole,
/// so that a kill at any moment leaves no half-made one. Throws DataError where another process
/// holds it, and where the disk has not enough room for all records.
[[nodiscard]] Descriptor claim_feature_file(const std::filesystem::path& path,
                                            const ShardLayout& layout);

}  // namespace assay
