#include "registry/backbone_catalogue.h"

#include "core/error.h"
#include "core/nearest_name.h"

#include <fmt/ranges.h>

namespace assay {

const std::vector<BackboneDescription>& backbones() {
  // spec/ablations.md 1.1, spec/methods-baselines.md 1.1; assay-tiny:
  // registry/assay-tiny/README.md.
  static const std::vector<BackboneDescription> kBackbones = {
      {.name = "assay-tiny",
       .vision_layers = 8,
       .vision_width = 128,
       .patch = 8,
       .native_grid = 16,
       .text_layers = 4,
       .text_width = 64,
       .joint = 64,
       .default_image_size = 128,
       .taps = {2, 4, 6, 8},
       .first_vv_block = 3,
       .weights_file = "registry/assay-tiny/assay-tiny.safetensors",
       .weights_sha256 = "",
       .embedded = true},
      {.name = "clip-vit-l-14-336",
       .vision_layers = 24,
       .vision_width = 1024,
       .patch = 14,
       .native_grid = 24,
       .text_layers = 12,
       .text_width = 768,
       .joint = 768,
       .default_image_size = 518,
       .taps = {6, 12, 18, 24},
       .first_vv_block = 6,
       .weights_file = "clip-vit-l-14-336.safetensors",
       .weights_sha256 = "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"},
      {.name = "clip-vit-l-14",
       .vision_layers = 24,
       .vision_width = 1024,
       .patch = 14,
       .native_grid = 16,
       .text_layers = 12,
       .text_width = 768,
       .joint = 768,
       .default_image_size = 518,
       .taps = {6, 12, 18, 24},
       .first_vv_block = 6,
       .weights_file = "clip-vit-l-14.safetensors",
       .weights_sha256 = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"},
      {.name = "clip-vit-b-16",
       .vision_layers = 12,
       .vision_width = 768,
       .patch = 16,
       .native_grid = 14,
       .text_layers = 12,
       .text_width = 512,
       .joint = 512,
       .default_image_size = 336,
       .taps = {3, 6, 9, 12},
       .first_vv_block = 3,
       .weights_file = "clip-vit-b-16.safetensors",
       .weights_sha256 = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"},
      {.name = "clip-vit-b-16-plus-240",
       .vision_layers = 12,
       .vision_width = 896,
       .patch = 16,
       .native_grid = 15,
       .text_layers = 12,
       .text_width = 640,
       .joint = 640,
       .default_image_size = 240,
       .taps = {3, 6, 9, 12},
       .first_vv_block = 1,
       .weights_file = "clip-vit-b-16-plus-240.safetensors",
       .weights_sha256 = "",
       .activation = "gelu"},  // LAION's (spec/methods-baselines.md 1.2).
  };
  return kBackbones;
}

const BackboneDescription& find_backbone(std::string_view name) {
  std::vector<std::string> known;
  for (const BackboneDescription& backbone : backbones()) {
    if (backbone.name == name) return backbone;
    known.push_back(backbone.name);
  }
  const std::string near = nearest_name(name, known);
  throw ConfigError("'{}' is not a backbone; {}known: {}", name,
                    near.empty() ? "" : fmt::format("did you mean '{}'? ", near),
                    fmt::join(known, ", "));
}

}  // namespace assay
