#include "tests/trainer/clip_training.h"

#include "tests/support/golden.h"

#include <ATen/ATen.h>

#include <filesystem>

namespace assay {
namespace {

constexpr std::int64_t kImageSize = 70;

// The vision tower only has a name here: features come from load().
const ClipSizes kSizes = {.vision_width = 64,
                          .vision_layers = 2,
                          .patch = 14,
                          .native_grid = 3,
                          .text_width = 64,
                          .text_layers = 10,
                          .context = 77,
                          .vocabulary = 49408,
                          .joint = 64};

BackboneDescription backbone() {
  return {.name = "generated",
          .vision_layers = kSizes.vision_layers,
          .vision_width = kSizes.vision_width,
          .patch = kSizes.patch,
          .native_grid = kSizes.native_grid,
          .text_layers = kSizes.text_layers,
          .text_width = kSizes.text_width,
          .joint = kSizes.joint,
          .default_image_size = kImageSize,
          .taps = {2},
          .first_vv_block = 1,
          .weights_file = "",
          .weights_sha256 = "",
          .embedded = false};
}

ResolvedMethod resolve(const std::string& method) {
  std::map<std::string, nlohmann::json> overrides;
  if (method.starts_with("faprompt")) overrides = {{"K", 4}, {"M", 6}};
  return resolve_method(method, overrides, backbone(), kImageSize);
}

}  // namespace

ClipTraining::ClipTraining(const std::string& method, std::int64_t num_images, std::uint64_t seed)
    : num_images_(num_images),
      clip_(golden_clip("trainer", kSizes)),
      tokenizer_(std::filesystem::path(ASSAY_SOURCE_DIR) /
                 ".deps/clip/bpe_simple_vocab_16e6.txt.gz"),
      resolved_(resolve(method)),
      method_(make_method({clip_, tokenizer_, resolved_}, seed)) {}

Batch ClipTraining::load(std::span<const std::int64_t> indices) const {
  const auto streams = static_cast<std::int64_t>(resolved_.features.streams.size());
  const auto layers = static_cast<std::int64_t>(resolved_.features.layers.size());
  const std::int64_t grid = kImageSize / kSizes.patch;
  std::vector<at::Tensor> patches;
  std::vector<at::Tensor> globals;
  std::vector<at::Tensor> masks;
  std::vector<std::int64_t> labels;
  for (const std::int64_t index : indices) {
    const std::string image = "image/" + std::to_string(index);
    patches.push_back(golden_uniform(image, "patch", {streams, layers, grid * grid, kSizes.joint}));
    globals.push_back(golden_uniform(image, "global", {kSizes.joint}));
    labels.push_back(index % 3 == 0 ? 1 : 0);
    masks.push_back(at::zeros({kImageSize, kImageSize}, at::kByte));
    if (labels.back() == 1) masks.back().narrow(0, index, 20).narrow(1, 10, 25).fill_(1);
  }
  Batch batch;
  const at::Tensor rows = at::stack(patches).to(at::kFloat);  // [B, E, L, N, J]
  batch.patch_norms = rows.norm(2, -1);
  batch.patch_features = rows / batch.patch_norms.unsqueeze(-1);
  batch.global = at::stack(globals).to(at::kFloat);
  batch.labels = at::tensor(labels, at::kLong);
  batch.masks = at::stack(masks);
  batch.has_pixel_term = at::ones({static_cast<std::int64_t>(indices.size())}, at::kBool);
  batch.category_words.assign(indices.size(), "object");
  return batch;
}

}  // namespace assay
