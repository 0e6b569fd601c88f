#include "tests/support/method_step.h"

#include "trainer/adam.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <span>

namespace assay {
namespace {

void add(at::Tensor& sum, const at::Tensor& more) {
  if (!more.defined()) return;
  sum = sum.defined() ? sum + more : more;
}

std::vector<at::Tensor> gradients_of(const std::vector<at::Tensor>& outputs,
                                     const std::vector<at::Tensor>& seeds,
                                     const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> roots, root_seeds;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].requires_grad() || !seeds[i].defined()) continue;
    roots.push_back(outputs[i]);
    root_seeds.push_back(seeds[i]);
  }
  if (roots.empty()) return std::vector<at::Tensor>(inputs.size());
  return torch::autograd::grad(roots, inputs, root_seeds, /*retain_graph=*/std::nullopt,
                               /*create_graph=*/false, /*allow_unused=*/true);
}

}  // namespace

MethodStep method_step(const Method& method, const std::vector<Batch>& shards) {
  std::vector<at::Tensor> parameters;
  for (const auto& [name, parameter] : method.parameters()) parameters.push_back(parameter);
  const std::vector<at::Tensor> shared = method.shared_terms();
  std::vector<at::Tensor> copies;
  for (const at::Tensor& term : shared) copies.push_back(term.detach().requires_grad_(true));

  std::vector<at::Tensor> terms;
  MethodStep step;
  for (const Batch& shard : shards) {
    terms.push_back(method.terms(copies, shard));
    add(step.totals, terms.back().detach());
  }
  const at::Tensor totals = step.totals.clone().requires_grad_(true);
  const at::Tensor loss = method.loss(totals, copies);
  step.loss = loss.item<double>();

  std::vector<at::Tensor> of_loss = copies;
  of_loss.push_back(totals);
  std::vector<at::Tensor> seeds = gradients_of({loss}, {at::ones_like(loss)}, of_loss);
  const at::Tensor of_totals = seeds.back();
  seeds.pop_back();
  step.gradients.resize(parameters.size());
  std::vector<at::Tensor> inputs = copies;
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  for (const at::Tensor& of_shard : terms) {
    const auto gradients = gradients_of({of_shard}, {of_totals}, inputs);
    for (std::size_t i = 0; i < copies.size(); ++i) add(seeds[i], gradients[i]);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      add(step.gradients[i], gradients[copies.size() + i]);
    }
  }
  const auto by_shared = gradients_of(shared, seeds, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) add(step.gradients[i], by_shared[i]);
  return step;
}

MethodAdam::MethodAdam(const Method& method) : parameters_(method.parameters()) {
  for (const auto& [name, parameter] : parameters_) {
    first_moments_.push_back(at::zeros_like(parameter));
    second_moments_.push_back(at::zeros_like(parameter));
  }
}

void MethodAdam::step(const std::vector<at::Tensor>& gradients) {
  ++steps_;
  const auto values = [](const at::Tensor& tensor) {
    return std::span(tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel()));
  };
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const at::Tensor gradient = gradients[i].contiguous();
    adam_step({}, steps_, values(parameters_[i].second), values(gradient),
              values(first_moments_[i]), values(second_moments_[i]));
  }
}

Batch narrow(const Batch& batch, std::int64_t first, std::int64_t count) {
  const auto part = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.narrow(0, first, count) : tensor;
  };
  Batch narrowed = {.patch_features = part(batch.patch_features),
                    .patch_norms = part(batch.patch_norms),
                    .global = part(batch.global),
                    .labels = part(batch.labels),
                    .masks = part(batch.masks),
                    .has_pixel_term = part(batch.has_pixel_term),
                    .has_image_terms = batch.has_image_terms,
                    .category_words = {}};
  if (!batch.category_words.empty()) {
    const auto begin = batch.category_words.begin() + first;
    narrowed.category_words.assign(begin, begin + count);
  }
  return narrowed;
}

std::vector<Batch> split(const Batch& batch, std::int64_t size) {
  std::vector<Batch> shards;
  const std::int64_t images = batch.global.size(0);
  for (std::int64_t first = 0; first < images; first += size) {
    shards.push_back(narrow(batch, first, std::min(size, images - first)));
  }
  return shards;
}

}  // namespace assay
