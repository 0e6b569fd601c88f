#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace assay {

// Initial values of learnable tensors: float32 leaves on `device` that require gradients. Entry i
// is draw i of the stream (seed, name), so that no other tensor, no order and no device changes it.

/// N(0, deviation^2).
[[nodiscard]] at::Tensor normal_parameter(std::uint64_t seed,
                                          const std::string& name,
                                          at::IntArrayRef shape,
                                          at::Device device,
                                          double deviation = 0.02);

/// PyTorch's default of a linear layer, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), for weight and bias.
[[nodiscard]] at::Tensor linear_parameter(std::uint64_t seed,
                                          const std::string& name,
                                          at::IntArrayRef shape,
                                          at::Device device,
                                          std::int64_t fan_in);

}  // namespace assay
