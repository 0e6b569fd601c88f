#include "tests/support/tiny_method.h"

#include "tests/support/golden.h"

#include <ATen/ATen.h>

#include <filesystem>

namespace assay {

const Clip& tiny_clip() {
  static const Clip clip(golden_clip("tiny", {.vision_width = 128,
                                              .vision_layers = 8,
                                              .patch = 8,
                                              .native_grid = 16,
                                              .text_width = 64,
                                              .text_layers = 4,
                                              .context = 77,
                                              .vocabulary = 49408,
                                              .joint = 64}));
  return clip;
}

const Tokenizer& clip_tokenizer() {
  static const Tokenizer tokenizer(std::filesystem::path(ASSAY_SOURCE_DIR) /
                                   ".deps/clip/bpe_simple_vocab_16e6.txt.gz");
  return tokenizer;
}

std::unique_ptr<Method> tiny_method(const std::string& name,
                                    const std::map<std::string, nlohmann::json>& overrides,
                                    std::uint64_t seed,
                                    bool literal) {
  const ResolvedMethod resolved =
      resolve_method(name, overrides, find_backbone("assay-tiny"), /*image_size=*/128);
  return make_method({tiny_clip(), clip_tokenizer(), resolved, literal}, seed);
}

Batch random_batch(std::int64_t images, std::int64_t streams, std::int64_t layers) {
  Batch batch;
  const at::Tensor patches = at::randn({images, streams, layers, 256, 64});
  batch.patch_norms = patches.norm(2, -1);
  batch.patch_features = patches / batch.patch_norms.unsqueeze(-1);
  batch.global = at::randn({images, 64});
  batch.labels = at::arange(images).remainder(2);
  batch.masks = at::rand({images, 128, 128}).lt(0.1).to(at::kByte) *
                batch.labels.to(at::kByte).view({-1, 1, 1});
  batch.has_pixel_term = at::ones({images}, at::kBool);
  for (std::int64_t i = 0; i < images; ++i) {
    batch.category_words.emplace_back(i % 3 == 0 ? "metal_nut" : "carpet");
  }
  return batch;
}

}  // namespace assay
