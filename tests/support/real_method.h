#pragma once

#include "registry/method.h"
#include "trainer/train.h"

#include <memory>
#include <string>

namespace assay {

/// The text tower of CLIP ViT-L/14@336 (12 blocks of 768) with weights from the golden generator,
/// beside an image tower of one block.
[[nodiscard]] const Clip& real_text_clip();

/// A method on it, at 518 px.
[[nodiscard]] std::unique_ptr<Method> real_method(const std::string& name,
                                                  std::uint64_t seed = 1,
                                                  bool literal = false);

/// Images of `batch`, of which a training set consists.
[[nodiscard]] std::unique_ptr<BatchSource> in_memory(Batch batch);

/// `images` images of 1,369 random patch features, as large as at 518 px.
[[nodiscard]] std::unique_ptr<BatchSource> real_features(std::int64_t images);

}  // namespace assay
