#pragma once

#include "registry/method.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace assay {

using Tensors = std::vector<at::Tensor>;

/// d outputs / d inputs, weighted by `seeds` (one an output, undefined ones are zero); undefined
/// where an input has no influence. The graph of `outputs` is freed.
[[nodiscard]] Tensors gradients(const Tensors& outputs,
                                const Tensors& inputs,
                                const Tensors& seeds);

/// What the images of a step do not change: the method's shared terms, computed once, and detached
/// copies of them that the shards' graphs end in.
class SharedTerms {
 public:
  SharedTerms(const Method& method, const Tensors& parameters);

  /// What Method::terms and Method::loss take.
  [[nodiscard]] const Tensors& copies() const { return copies_; }
  /// What shards have gradients of: the parameters, then the copies of terms that depend on them.
  [[nodiscard]] const Tensors& leaves() const { return leaves_; }

  /// Gradients of the parameters from those of the leaves: the shared part is back-propagated,
  /// once.
  [[nodiscard]] Tensors to_parameters(const Tensors& leaf_gradients) const;

 private:
  Tensors parameters_, terms_, copies_, leaves_;
};

}  // namespace assay
