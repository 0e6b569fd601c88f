#include "tests/support/real_method.h"

#include "tests/support/golden.h"
#include "tests/support/tiny_method.h"
#include "trainer/resident_images.h"

#include <ATen/ATen.h>

namespace assay {
namespace {

/// Rounded to half precision, as OpenAI's weights come.
TensorMap in_half(TensorMap weights) {
  for (auto& [name, weight] : weights) weight = weight.to(at::kHalf).to(at::kFloat);
  return weights;
}

}  // namespace

const Clip& real_text_clip() {
  static const Clip clip(in_half(golden_clip("real", {.vision_width = 64,
                                                      .vision_layers = 1,
                                                      .patch = 14,
                                                      .native_grid = 24,
                                                      .text_width = 768,
                                                      .text_layers = 12,
                                                      .context = 77,
                                                      .vocabulary = 49408,
                                                      .joint = 768})));
  return clip;
}

std::unique_ptr<Method> real_method(const std::string& name, std::uint64_t seed, bool literal) {
  const ResolvedMethod resolved =
      resolve_method(name, {}, find_backbone("clip-vit-l-14-336"), /*image_size=*/518);
  return make_method({real_text_clip(), clip_tokenizer(), resolved, literal}, seed);
}

std::unique_ptr<BatchSource> in_memory(Batch batch) {
  return std::make_unique<ResidentImages>(std::move(batch));
}

std::unique_ptr<BatchSource> real_features(std::int64_t images) {
  constexpr std::int64_t kPatches = 37 * 37, kJoint = 768, kPixels = 518;
  Batch batch;
  const at::Tensor patches = at::randn({images, 1, 1, kPatches, kJoint});
  batch.patch_norms = patches.norm(2, -1);
  batch.patch_features = patches / batch.patch_norms.unsqueeze(-1);
  batch.global = at::randn({images, kJoint});
  batch.labels = at::arange(images).remainder(2);
  batch.masks = at::rand({images, kPixels, kPixels}).lt(0.1).to(at::kByte) *
                batch.labels.to(at::kByte).view({-1, 1, 1});
  batch.has_pixel_term = at::ones({images}, at::kBool);
  return in_memory(std::move(batch));
}

}  // namespace assay
