#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace assay {

/// What a method reads of a frozen image encoder: all of it is part of the feature key.
///
/// Blocks are counted from 1. Streams (`spec/ablations.md` 1.3): `qk` is CLIP's own residual
/// stream; `vv`, `qq`, `kk` are the side streams of the dual path from block `first_block` on, s_l
/// = s_(l-1) + r(softmax(X X^T / 8) V) without MLP. Every tapped row goes through ln_post and the
/// projection and is stored with unit length, its norm beside it; the class token's row of the
/// patch tokens is not stored.
struct FeatureSpec {
  std::string backbone;              ///< Catalogue name: `clip-vit-l-14-336`, `assay-tiny`.
  std::int64_t image_size = 518;     ///< Pixels, a multiple of the patch.
  std::vector<std::string> streams;  ///< Sorted subset of kk, qk, qq, vv; not empty.
  std::int64_t first_block = 6;      ///< First block with side streams; 0 where only qk is tapped.
  std::vector<std::int64_t> layers;  ///< Tapped blocks, ascending, from 1.
  bool cls_ln_post = false;          ///< The global feature passes ln_post before the projection.
  std::string activation = "quick_gelu";  ///< Or `gelu` (erf).
  std::string pos_resize = "bilinear";    ///< Or `bicubic_aa`, `bicubic`.
  bool operator==(const FeatureSpec&) const = default;
};

/// Canonical JSON of every field.
[[nodiscard]] nlohmann::json to_json(const FeatureSpec& spec);
/// The inverse. Throws ConfigError on a missing or unknown field.
[[nodiscard]] FeatureSpec feature_spec_from_json(const nlohmann::json& json);

}  // namespace assay
