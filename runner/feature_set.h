#pragma once

#include "datasets/feature_store.h"
#include "datasets/manifest.h"
#include "runner/job_spec.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// Images a shard holds: small enough that several ranks share a data set, large enough that a
/// shard of CLIP's features is hundreds of megabytes.
inline constexpr std::int64_t kShardImages = 64;

/// One split of a data set with the place of its features: the images in the manifest's order, cut
/// into shards of kShardImages.
struct FeatureFiles {
  Manifest manifest;  ///< With digests.
  EncoderSpec encoder;
  std::string manifest_digest;
  std::filesystem::path folder;  ///< The workspace's `features`.

  [[nodiscard]] std::int64_t num_shards() const;
  [[nodiscard]] std::filesystem::path path(std::int64_t shard) const;
  /// First image of `shard`; that of num_shards() is the number of images.
  [[nodiscard]] std::int64_t first_image(std::int64_t shard) const;
};

/// The complete shards of one split, memory-mapped.
class FeatureSet {
 public:
  /// Opens every shard. Throws DataError where one is missing, foreign or incomplete, or holds
  /// other images.
  explicit FeatureSet(FeatureFiles files);

  [[nodiscard]] const Manifest& manifest() const { return files_.manifest; }
  [[nodiscard]] const FeatureFiles& files() const { return files_; }
  [[nodiscard]] std::int64_t size() const;
  /// Views of the file that must not outlive this set.
  [[nodiscard]] FeatureRecord record(std::int64_t image) const;

 private:
  FeatureFiles files_;
  std::vector<FeatureShard> shards_;
};

/// What is wrong with a shard: missing, foreign, incomplete, of other images, or a checksum that
/// does not hold. Empty where nothing is.
[[nodiscard]] std::string shard_problem(const FeatureFiles& files, std::int64_t shard);

}  // namespace assay
