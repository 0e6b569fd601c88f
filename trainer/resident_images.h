#pragma once

#include "trainer/train.h"

#include <utility>

namespace assay {

/// Images that are in memory already, on whatever device, as one batch.
class ResidentImages final : public BatchSource {
 public:
  explicit ResidentImages(Batch images) : images_(std::move(images)) {}
  [[nodiscard]] std::int64_t size() const override { return images_.global.size(0); }
  [[nodiscard]] Batch load(std::span<const std::int64_t> indices) const override {
    return images_.select(indices);
  }

 private:
  Batch images_;
};

}  // namespace assay
