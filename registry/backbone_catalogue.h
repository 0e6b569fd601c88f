#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// What a study can name as a backbone, without loading it (`spec/ablations.md` 1.1). Blocks are
/// counted from 1.
struct BackboneDescription {
  std::string name;
  std::int64_t vision_layers, vision_width, patch;
  std::int64_t native_grid;  ///< The position table has native_grid^2 + 1 rows.
  std::int64_t text_layers, text_width;
  std::int64_t joint;
  std::int64_t default_image_size;  ///< Pixels.
  std::vector<std::int64_t> taps;   ///< Quarters of the depth.
  std::int64_t first_vv_block;
  std::string
      weights_file;  ///< File name below the weights folder; for assay-tiny below the sources.
  std::string weights_sha256;  ///< Of the released archive where the papers pin one, else empty.
  bool embedded = false;       ///< Weights come with the project.
  std::string activation = "quick_gelu";  ///< That the weights were trained with.
};

[[nodiscard]] const std::vector<BackboneDescription>& backbones();
/// Throws ConfigError, naming the known ones and the nearest, where `name` is unknown.
[[nodiscard]] const BackboneDescription& find_backbone(std::string_view name);

}  // namespace assay
