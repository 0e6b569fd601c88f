#include "registry/parameters.h"

#include "core/random.h"

#include <ATen/ATen.h>

#include <cmath>

namespace assay {
namespace {

template <typename Draw>
at::Tensor filled(at::IntArrayRef shape, at::Device device, const Draw& draw) {
  at::Tensor values = at::empty(shape, at::kFloat);
  float* const data = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    data[i] = static_cast<float>(draw(static_cast<std::uint64_t>(i)));
  }
  return values.to(device).requires_grad_(true);
}

}  // namespace

at::Tensor normal_parameter(std::uint64_t seed,
                            const std::string& name,
                            at::IntArrayRef shape,
                            at::Device device,
                            double deviation) {
  const RandomStream stream(seed, name);
  return filled(shape, device, [&](std::uint64_t i) { return deviation * stream.normal(i); });
}

at::Tensor linear_parameter(std::uint64_t seed,
                            const std::string& name,
                            at::IntArrayRef shape,
                            at::Device device,
                            std::int64_t fan_in) {
  const RandomStream stream(seed, name);
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  return filled(shape, device,
                [&](std::uint64_t i) { return bound * (2 * stream.uniform(i) - 1); });
}

}  // namespace assay
