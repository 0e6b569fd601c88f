#pragma once

#include "registry/clip.h"
#include "registry/method.h"
#include "registry/tokenizer.h"
#include "trainer/train.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace assay {

/// A real method on a CLIP of the goldens' sizes with generated weights (`kind = faprompt`, case b:
/// text tower of 10 blocks of width 64, 25 patches), and features, labels and masks of its shapes
/// that are functions of an image's index.
class ClipTraining final : public BatchSource {
 public:
  /// `method` as in a study: `faprompt:released`.
  ClipTraining(const std::string& method, std::int64_t num_images, std::uint64_t seed);

  [[nodiscard]] Method& method() { return *method_; }
  [[nodiscard]] std::int64_t size() const override { return num_images_; }
  [[nodiscard]] Batch load(std::span<const std::int64_t> indices) const override;

 private:
  std::int64_t num_images_;
  Clip clip_;
  Tokenizer tokenizer_;
  ResolvedMethod resolved_;
  std::unique_ptr<Method> method_;
};

}  // namespace assay
