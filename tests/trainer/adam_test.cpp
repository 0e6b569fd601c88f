#include "trainer/adam.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace assay {
namespace {

std::span<float> span_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

TEST(AdamStep, AgreesWithTheOperationsOfPyTorchsAdam) {
  for (const double beta1 : {0.5, 0.9, 0.1}) {
    const AdamSettings settings{.learning_rate = 1e-3, .beta1 = beta1};
    at::Tensor parameter = at::linspace(-2, 2, 1001);
    at::Tensor m = at::zeros({1001});
    at::Tensor v = at::zeros({1001});
    at::Tensor ours = parameter.clone();
    at::Tensor our_m = m.clone();
    at::Tensor our_v = v.clone();
    const at::Tensor on_device = parameter.clone(), device_m = m.clone(), device_v = v.clone();
    for (int t = 1; t <= 50; ++t) {
      const at::Tensor gradient = (parameter * 3 + t).sin() * std::pow(10.0, t % 7 - 5);
      m.lerp_(gradient, 1 - beta1);
      v.mul_(0.999).addcmul_(gradient, gradient, 1 - 0.999);
      const at::Tensor denominator = (v.sqrt() / std::sqrt(1 - std::pow(0.999, t))).add_(1e-8);
      parameter.addcdiv_(m, denominator, -1e-3 / (1 - std::pow(beta1, t)));
      adam_step(settings, t, span_of(ours), span_of(gradient), span_of(our_m), span_of(our_v));
      adam_step_on_device(settings, t, on_device, gradient, device_m, device_v);
    }
    EXPECT_TRUE(on_device.equal(parameter));
    // PyTorch fuses multiplications with additions where the CPU can: a last place apart.
    EXPECT_TRUE(at::allclose(ours, parameter, 1e-6, 1e-7)) << "beta1 " << beta1;
    EXPECT_TRUE(at::allclose(our_m, m, 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(our_v, v, 1e-5, 1e-12));
  }
}

TEST(AdamStep, MovesByTheLearningRateAtFirst) {
  float parameter = 1;
  float m = 0;
  float v = 0;
  const float gradient = 42;
  adam_step({.learning_rate = 0.25}, 1, {&parameter, 1}, {&gradient, 1}, {&m, 1}, {&v, 1});
  EXPECT_FLOAT_EQ(parameter, 0.75);  // m / (1 - beta1) = g, sqrt(v / (1 - beta2)) = |g|.
  EXPECT_FLOAT_EQ(m, 21);
}

TEST(AdamStep, KeepsAParameterThatNeverHadAGradientFinite) {
  float parameter = 0.5;
  float m = 0;
  float v = 0;
  const float gradient = 0;
  adam_step({}, 1, {&parameter, 1}, {&gradient, 1}, {&m, 1}, {&v, 1});
  EXPECT_EQ(parameter, 0.5);
}

}  // namespace
}  // namespace assay
