#include "trainer/shared_terms.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstddef>
#include <optional>

namespace assay {

Tensors gradients(const Tensors& outputs, const Tensors& inputs, const Tensors& seeds) {
  Tensors differentiable;
  Tensors their_seeds;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].requires_grad() || !seeds[i].defined()) continue;
    differentiable.push_back(outputs[i]);
    their_seeds.push_back(seeds[i]);
  }
  if (differentiable.empty()) return Tensors(inputs.size());
  return torch::autograd::grad(differentiable, inputs, their_seeds, /*retain_graph=*/std::nullopt,
                               /*create_graph=*/false, /*allow_unused=*/true);
}

SharedTerms::SharedTerms(const Method& method, const Tensors& parameters)
    : parameters_(parameters), terms_(method.shared_terms()), leaves_(parameters) {
  for (const at::Tensor& term : terms_) {
    copies_.push_back(term.detach());
    if (term.requires_grad()) leaves_.push_back(copies_.back().requires_grad_(true));
  }
}

Tensors SharedTerms::to_parameters(const Tensors& leaf_gradients) const {
  Tensors seeds;
  std::size_t next = parameters_.size();
  for (const at::Tensor& term : terms_) {
    seeds.push_back(term.requires_grad() ? leaf_gradients[next++] : at::Tensor());
  }
  Tensors sums = gradients(terms_, parameters_, seeds);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    sums[i] = sums[i].defined() ? leaf_gradients[i] + sums[i] : leaf_gradients[i];
  }
  return sums;
}

}  // namespace assay
