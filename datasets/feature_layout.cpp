#include "datasets/feature_layout.h"

#include "core/digest.h"

#include <fmt/format.h>

namespace assay {

std::string feature_key(const nlohmann::json& key_fields) { return sha256(key_fields.dump()); }

std::filesystem::path shard_path(const std::filesystem::path& features,
                                 const std::string& feature_key,
                                 const std::string& manifest_digest,
                                 const std::string& dataset,
                                 const std::string& split,
                                 std::int64_t shard,
                                 std::int64_t num_shards) {
  return features / feature_key / fmt::format("{}-{}", dataset, manifest_digest.substr(0, 16)) /
         fmt::format("{}.{}-of-{}.h5", split, shard, num_shards);
}

}  // namespace assay
