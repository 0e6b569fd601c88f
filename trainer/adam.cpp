#include "trainer/adam.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstddef>

namespace assay {

void adam_step(const AdamSettings& settings,
               std::int64_t t,
               std::span<float> parameter,
               std::span<const float> gradient,
               std::span<float> m,
               std::span<float> v) {
  const double correction1 = 1.0 - std::pow(settings.beta1, static_cast<double>(t));
  const double correction2 = 1.0 - std::pow(settings.beta2, static_cast<double>(t));
  const auto step_size = static_cast<float>(-settings.learning_rate / correction1);
  const auto root = static_cast<float>(std::sqrt(correction2));
  const auto epsilon = static_cast<float>(settings.epsilon);
  const auto weight1 = static_cast<float>(1.0 - settings.beta1);
  const auto beta2 = static_cast<float>(settings.beta2);
  const auto weight2 = static_cast<float>(1.0 - settings.beta2);
  for (std::size_t i = 0; i < parameter.size(); ++i) {
    const float g = gradient[i];
    // at::lerp is written from the nearer end.
    m[i] = weight1 < 0.5F ? m[i] + weight1 * (g - m[i]) : g - (g - m[i]) * (1.0F - weight1);
    v[i] = v[i] * beta2 + weight2 * g * g;
    parameter[i] += step_size * m[i] / (std::sqrt(v[i]) / root + epsilon);
  }
}

void adam_step_on_device(const AdamSettings& settings,
                         std::int64_t t,
                         at::Tensor parameter,
                         const at::Tensor& gradient,
                         at::Tensor m,
                         at::Tensor v) {
  const at::NoGradGuard no_grad;
  const double correction1 = 1.0 - std::pow(settings.beta1, static_cast<double>(t));
  const double root = std::sqrt(1.0 - std::pow(settings.beta2, static_cast<double>(t)));
  m.lerp_(gradient, 1.0 - settings.beta1);
  v.mul_(settings.beta2).addcmul_(gradient, gradient, 1.0 - settings.beta2);
  parameter.addcdiv_(m, v.sqrt().div_(root).add_(settings.epsilon),
                     -settings.learning_rate / correction1);
}

}  // namespace assay
