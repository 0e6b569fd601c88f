#include "trainer/literal_training.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

namespace assay {

LiteralTraining::LiteralTraining(const Method& method, const AdamSettings& settings)
    : method_(method), settings_(settings) {
  for (const auto& [name, parameter] : method.parameters()) {
    first_moments_.push_back(at::zeros_like(parameter));
    second_moments_.push_back(at::zeros_like(parameter));
  }
}

double LiteralTraining::step(const Batch& batch) {
  for (const auto& [name, parameter] : method_.parameters()) parameter.mutable_grad().reset();
  const std::vector<at::Tensor> shared = method_.shared_terms();
  const at::Tensor totals = method_.terms(shared, batch).cpu();  // Where `loss` wants them.
  const at::Tensor loss = method_.loss(totals, shared);
  torch::autograd::backward({loss});
  ++steps_;
  for (std::size_t i = 0; i < first_moments_.size(); ++i) {
    const at::Tensor& parameter = method_.parameters()[i].second;
    if (!parameter.grad().defined()) continue;  // As torch.optim.Adam.
    adam_step_on_device(settings_, steps_, parameter, parameter.grad(), first_moments_[i],
                        second_moments_[i]);
  }
  return loss.item<double>();
}

}  // namespace assay
