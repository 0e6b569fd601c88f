#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace assay {

struct AdamSettings {
  double learning_rate = 1e-3;
  double beta1 = 0.5, beta2 = 0.999;
  double epsilon = 1e-8;
};

/// Step t = 1, 2, ... of Adam (Kingma and Ba, ICLR 2015, algorithm 1) on one parameter g its
/// gradient, m and v its moments:
///
///   m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
///   parameter -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
///
/// in float32 and in the order of operations of torch.optim.Adam, factors that are the same for all
/// entries in double. All spans have one length; none overlaps another.
void adam_step(const AdamSettings& settings,
               std::int64_t t,
               std::span<float> parameter,
               std::span<const float> gradient,
               std::span<float> m,
               std::span<float> v);

/// The same in LibTorch's operations, on float32 tensors of any one device.
void adam_step_on_device(const AdamSettings& settings,
                         std::int64_t t,
                         at::Tensor parameter,
                         const at::Tensor& gradient,
                         at::Tensor m,
                         at::Tensor v);

}  // namespace assay
