#pragma once

#include "datasets/feature_layout.h"

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace assay {

/// One image's record.
struct FeatureRecord {
  at::Tensor patch;   ///< float16 [E, L, N, D]
  at::Tensor norm;    ///< float32 [E, L, N]
  at::Tensor global;  ///< float32 [D]
};

/// Writes one shard: `path` + `.partial` until complete, resumable after a kill at any moment. One
/// writer a shard: a second one, in whatever process, is refused.
class FeatureShardWriter {
 public:
  /// Creates the file, or opens a partial one of the same layout and keeps the records whose
  /// checksum holds. Throws DataError where another process writes the shard, or the disk has not
  /// enough room.
  FeatureShardWriter(const std::filesystem::path& path, ShardLayout layout);
  ~FeatureShardWriter();
  FeatureShardWriter(const FeatureShardWriter&) = delete;
  FeatureShardWriter& operator=(const FeatureShardWriter&) = delete;

  [[nodiscard]] bool is_done(std::int64_t index) const;
  /// Throws std::invalid_argument where the record has other shapes or types than the layout.
  void write(std::int64_t index, const FeatureRecord& record);
  /// fsync, mark complete, rename to `path`. Nothing can be written afterwards. Throws DataError
  /// where a record is missing.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A complete shard, memory-mapped: no copy, no conversion.
class FeatureShard {
 public:
  /// Throws DataError, naming file and field, where `path` is not a complete shard of format 1 with
  /// `feature_key`. With `key_fields` (those of the key that is wanted) the message says which one
  /// differs.
  FeatureShard(const std::filesystem::path& path,
               const std::string& feature_key,
               const nlohmann::json& key_fields = nullptr);
  ~FeatureShard();
  FeatureShard(FeatureShard&&) noexcept;
  FeatureShard& operator=(FeatureShard&&) noexcept;

  [[nodiscard]] std::int64_t size() const;
  [[nodiscard]] const std::vector<std::string>& image_sha256() const;
  /// Read-only views of the file that must not outlive this shard. Throws std::out_of_range.
  [[nodiscard]] FeatureRecord record(std::int64_t index) const;
  /// Index of the first record whose checksum does not hold, or -1. Reads the whole file.
  [[nodiscard]] std::int64_t first_corrupt() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace assay
