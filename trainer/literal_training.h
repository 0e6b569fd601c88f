#pragma once

#include "registry/method.h"
#include "trainer/adam.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace assay {

/// Trains a method as the released code does: the batch as a whole, one backward through everything
/// that takes a gradient, frozen weights included, whose gradients are added up and never used
/// (`spec/methods-seeds.md` 3.10, R7). What `train` is measured against, on one rank.
class LiteralTraining {
 public:
  /// `method`, which outlives this, is optimised in place.
  LiteralTraining(const Method& method, const AdamSettings& settings);

  /// One step; returns the loss.
  double step(const Batch& batch);

 private:
  const Method& method_;
  AdamSettings settings_;
  std::vector<at::Tensor> first_moments_, second_moments_;
  std::int64_t steps_ = 0;
};

}  // namespace assay
