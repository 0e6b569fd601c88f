#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// What one shard of encoded images is, before a byte is written.
///
/// File format 1, HDF5 (`spec/performance.md` 5), n images, E streams, L layers, N patches, D
/// channels; all arrays contiguous, little endian:
///   /patch         float16 [n, E, L, N, D]  unit rows
///   /norm          float32 [n, E, L, N]     lengths before scaling
///   /global        float32 [n, D]           not normalised
///   /image_sha256  uint8 [n, 32]
///   /done          uint64 [n]  0 = absent, else 1 << 63 | XXH3-64 of the record >> 1; a record is
///                              the bytes of its patch, norm and global, one after another
///   attributes     format_version, feature_key, key_fields (JSON), shard, num_shards, complete
struct ShardLayout {
  std::string feature_key;    ///< SHA-256 over `key_fields`.
  nlohmann::json key_fields;  ///< What the key is made of; a reader names the field that differs.
  std::int64_t streams = 0, layers = 0, patches = 0, channels = 0;
  std::int64_t shard = 0, num_shards = 1;
  std::vector<std::string> image_sha256;  ///< Of the shard's images, in order.
};

/// SHA-256 of the canonical JSON (sorted keys) of what features depend on.
[[nodiscard]] std::string feature_key(const nlohmann::json& key_fields);

/// Path of a shard: `<features>/<feature key>/<dataset>-<manifest digest, 16 digits>/` and
/// `<split>.<shard>-of-<n>.h5`.
[[nodiscard]] std::filesystem::path shard_path(const std::filesystem::path& features,
                                               const std::string& feature_key,
                                               const std::string& manifest_digest,
                                               const std::string& dataset,
                                               const std::string& split,
                                               std::int64_t shard,
                                               std::int64_t num_shards);

}  // namespace assay
