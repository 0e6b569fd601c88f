#pragma once

#include "registry/method.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace assay {

/// One training step's values, computed as the trainer computes them on one rank: the sums and
/// gradients of the shards are added in shard order.
struct MethodStep {
  double loss = 0;
  at::Tensor totals;                  ///< float64, by Method::term_names.
  std::vector<at::Tensor> gradients;  ///< Of the parameters; undefined where there is none.
};
[[nodiscard]] MethodStep method_step(const Method& method, const std::vector<Batch>& shards);

/// Optimises a method's parameters in place, with the trainer's Adam.
class MethodAdam {
 public:
  explicit MethodAdam(const Method& method);
  void step(const std::vector<at::Tensor>& gradients);

 private:
  const NamedTensors& parameters_;
  std::vector<at::Tensor> first_moments_, second_moments_;
  std::int64_t steps_ = 0;
};

/// Images `first` .. `first + count - 1` of a batch.
[[nodiscard]] Batch narrow(const Batch& batch, std::int64_t first, std::int64_t count);
/// The batch in shards of `size` images.
[[nodiscard]] std::vector<Batch> split(const Batch& batch, std::int64_t size);

}  // namespace assay
