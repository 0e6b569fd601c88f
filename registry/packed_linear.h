#pragma once

#include "registry/packed_matrix.h"

#include <ATen/core/Tensor.h>

#include <memory>
#include <mutex>

namespace assay {

/// A frozen linear layer on the CPU, y = x W^T + b, that is fast for few rows of x
/// (`packed_matrix.h`). A row of y, and of the gradient of x, has the same bits whatever the other
/// rows and however many threads.
///
/// Packed when first used, for the backward when that is: half as much memory again as W each time
/// where half precision has all of W exactly, else as much.
class PackedLinear {
 public:
  /// `weight`: float32 [n, k], both multiples of 16; `bias`: [n].
  PackedLinear(at::Tensor weight, at::Tensor bias);

  /// `x`: float32 [.., k] -> [.., n]; differentiable in `x`, once.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const;

  /// x W^T + b, and x W: what `operator()` and its backward compute, without autograd.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const;
  [[nodiscard]] at::Tensor backward(const at::Tensor& gradient) const;

 private:
  struct Packed {
    std::once_flag once;
    std::unique_ptr<PackedMatrix> matrix;
  };

  at::Tensor weight_, bias_;
  std::unique_ptr<Packed> forward_, backward_;
};

}  // namespace assay
