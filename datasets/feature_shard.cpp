#include "core/error.h"
#include "core/file.h"
#include "datasets/feature_file.h"
#include "datasets/feature_store.h"

#include <ATen/ATen.h>

#include <cstring>
#include <stdexcept>

namespace assay {
namespace {

/// The metadata of a shard that may be used.
FeatureFile checked_file(const std::filesystem::path& path,
                         const std::string& feature_key,
                         const nlohmann::json& key_fields) {
  FeatureFile file = read_feature_file(path);
  const std::string difference = key_difference(file, feature_key, key_fields);
  if (!difference.empty()) {
    throw DataError("{}: {}; run 'assay encode' again", path.string(), difference);
  }
  if (!file.complete) throw DataError("{}: not complete; run 'assay encode' again", path.string());
  return file;
}

}  // namespace

struct FeatureShard::State {
  FeatureFile format;
  MappedFile map;

  [[nodiscard]] std::span<const std::byte> part(const RecordPart& part, std::int64_t index) const {
    return map.bytes().subspan(static_cast<std::size_t>(part.offset + index * part.record_bytes),
                               static_cast<std::size_t>(part.record_bytes));
  }

  [[nodiscard]] std::uint64_t done(std::int64_t index) const {
    std::uint64_t word = 0;
    std::memcpy(&word, map.bytes().data() + format.done_offset + 8 * index, sizeof word);
    return word;
  }

  [[nodiscard]] at::Tensor view(const RecordPart& where,
                                std::int64_t index,
                                at::ScalarType type,
                                at::IntArrayRef sizes) const {
    // from_blob takes mutable memory; the mapping is read-only and a write ends the process.
    void* data = const_cast<std::byte*>(part(where, index).data());
    return at::from_blob(data, sizes, at::TensorOptions().dtype(type));
  }
};

FeatureShard::FeatureShard(const std::filesystem::path& path,
                           const std::string& feature_key,
                           const nlohmann::json& key_fields)
    : state_(new State{checked_file(path, feature_key, key_fields), MappedFile(path)}) {
  for (std::int64_t i = 0; i < size(); ++i) {
    if (state_->done(i) == 0) {
      throw DataError("{}: record {} was never written; run 'assay encode' again", path.string(),
                      i);
    }
  }
}

FeatureShard::~FeatureShard() = default;
FeatureShard::FeatureShard(FeatureShard&&) noexcept = default;
FeatureShard& FeatureShard::operator=(FeatureShard&&) noexcept = default;

std::int64_t FeatureShard::size() const { return state_->format.num_records(); }

const std::vector<std::string>& FeatureShard::image_sha256() const {
  return state_->format.image_sha256;
}

FeatureRecord FeatureShard::record(std::int64_t index) const {
  if (index < 0 || index >= size()) throw std::out_of_range("FeatureShard: no such record");
  const FeatureFile& format = state_->format;
  return {.patch = state_->view(format.patch, index, at::kHalf,
                                {format.streams, format.layers, format.patches, format.channels}),
          .norm = state_->view(format.norm, index, at::kFloat,
                               {format.streams, format.layers, format.patches}),
          .global = state_->view(format.global, index, at::kFloat, {format.channels})};
}

std::int64_t FeatureShard::first_corrupt() const {
  const FeatureFile& format = state_->format;
  for (std::int64_t i = 0; i < size(); ++i) {
    const std::uint64_t word =
        done_word(state_->part(format.patch, i), state_->part(format.norm, i),
                  state_->part(format.global, i));
    if (word != state_->done(i)) return i;
  }
  return -1;
}

}  // namespace assay
