#include "runner/feature_set.h"

#include "core/error.h"

#include <algorithm>

namespace assay {
namespace {

FeatureShard open_shard(const FeatureFiles& files, std::int64_t shard) {
  const std::filesystem::path path = files.path(shard);
  FeatureShard opened(path, files.encoder.key());
  const std::int64_t first = files.first_image(shard);
  if (opened.size() != files.first_image(shard + 1) - first) {
    throw DataError("{}: {} images, expected {}", path.string(), opened.size(),
                    files.first_image(shard + 1) - first);
  }
  for (std::int64_t i = 0; i < opened.size(); ++i) {
    const Sample& sample = files.manifest.samples[static_cast<std::size_t>(first + i)];
    if (opened.image_sha256()[static_cast<std::size_t>(i)] != sample.sha256) {
      throw DataError("{}: image {} is not {}", path.string(), i, sample.path);
    }
  }
  return opened;
}

}  // namespace

std::int64_t FeatureFiles::num_shards() const {
  const auto images = static_cast<std::int64_t>(manifest.samples.size());
  return (images + kShardImages - 1) / kShardImages;
}

std::filesystem::path FeatureFiles::path(std::int64_t shard) const {
  return shard_path(folder, encoder.key(), manifest_digest, manifest.dataset, manifest.split, shard,
                    num_shards());
}

std::int64_t FeatureFiles::first_image(std::int64_t shard) const {
  return std::min(shard * kShardImages, static_cast<std::int64_t>(manifest.samples.size()));
}

FeatureSet::FeatureSet(FeatureFiles files) : files_(std::move(files)) {
  for (std::int64_t shard = 0; shard < files_.num_shards(); ++shard) {
    shards_.push_back(open_shard(files_, shard));
  }
}

std::int64_t FeatureSet::size() const {
  return static_cast<std::int64_t>(files_.manifest.samples.size());
}

FeatureRecord FeatureSet::record(std::int64_t image) const {
  return shards_.at(static_cast<std::size_t>(image / kShardImages)).record(image % kShardImages);
}

std::string shard_problem(const FeatureFiles& files, std::int64_t shard) {
  if (!std::filesystem::exists(files.path(shard))) return "not there";
  try {
    const std::int64_t corrupt = open_shard(files, shard).first_corrupt();
    if (corrupt < 0) return {};
    return fmt::format("{}: the checksum of image {} does not hold", files.path(shard).string(),
                       corrupt);
  } catch (const DataError& error) {
    return error.what();
  }
}

}  // namespace assay
