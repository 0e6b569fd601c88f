#pragma once

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// What one shard of encoded images is, before a byte is written.
///
/// File format 1, HDF5 (`spec/performance.md` 5), n images, E streams, L layers, N patches, D
/// channels:
///   /patch         float16 [n, E, L, N, D]  unit rows, contiguous
///   /norm          float32 [n, E, L, N]     lengths before scaling
///   /global        float32 [n, D]           not normalised
///   /image_sha256  uint8 [n, 32]
///   /done          uint64 [n]: 0 = absent, else 1 << 63 | XXH3 of the record (patch, norm, global)
///   >> 1 attributes     format_version, feature_key, key_fields (JSON), shard, num_shards,
///   complete
struct ShardLayout {
  std::string feature_key;    ///< SHA-256 over `key_fields`.
  nlohmann::json key_fields;  ///< What the key is made of; a reader names the field that differs.
  std::int64_t streams = 0, layers = 0, patches = 0, channels = 0;
  std::int64_t shard = 0, num_shards = 1;
  std::vector<std::string> image_sha256;  ///< Of the shard's images, in order.
};

/// One image's record.
struct FeatureRecord {
  at::Tensor patch;   ///< float16 [E, L, N, D]
  at::Tensor norm;    ///< float32 [E, L, N]
  at::Tensor global;  ///< float32 [D]
};

/// Writes one shard: `path` + `.partial` until complete, resumable after a kill at any moment.
class FeatureShardWriter {
 public:
  /// Creates the file, or opens a partial one of the same layout and keeps the records whose
  /// checksum holds.
  FeatureShardWriter(const std::filesystem::path& path, ShardLayout layout);
  ~FeatureShardWriter();
  FeatureShardWriter(const FeatureShardWriter&) = delete;
  FeatureShardWriter& operator=(const FeatureShardWriter&) = delete;

  [[nodiscard]] bool is_done(std::int64_t index) const;
  void write(std::int64_t index, const FeatureRecord& record);
  /// fsync, mark complete, rename to `path`. Throws DataError where a record is missing.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A complete shard, memory-mapped: no copy, no conversion.
class FeatureShard {
 public:
  /// Throws DataError, naming file and field, where `path` is not a complete shard of format 1 with
  /// `feature_key`.
  FeatureShard(const std::filesystem::path& path, const std::string& feature_key);
  ~FeatureShard();
  FeatureShard(FeatureShard&&) noexcept;

  [[nodiscard]] std::int64_t size() const;
  [[nodiscard]] const std::vector<std::string>& image_sha256() const;
  /// Views of the file that must not outlive this shard. Throws std::out_of_range.
  [[nodiscard]] FeatureRecord record(std::int64_t index) const;
  /// Index of the first record whose checksum does not hold, or -1.
  [[nodiscard]] std::int64_t first_corrupt() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// File name of a shard: `<split>.<shard>-of-<n>.h5`, below `<features>/<feature key>/<dataset>/`.
[[nodiscard]] std::filesystem::path shard_path(const std::filesystem::path& features,
                                               const std::string& feature_key,
                                               const std::string& manifest_digest,
                                               const std::string& dataset,
                                               const std::string& split,
                                               std::int64_t shard,
                                               std::int64_t num_shards);

}  // namespace assay
