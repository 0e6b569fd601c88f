#include "tools/pretrain/optimiser.h"

#include "core/error.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>
#include <numbers>

namespace assay {
namespace {

constexpr const char* kTokens = "token_embedding.weight";
constexpr double kLargestLogitScale = 4.605170186;  // ln 100, as CLIP (Radford et al., 2021).

bool decays(const std::string& name, const at::Tensor& weight) {
  return weight.dim() >= 2 && name.find("embedding") == std::string::npos;
}

}  // namespace

PretrainState fresh_state(const TensorMap& weights) {
  PretrainState state;
  for (const auto& [name, weight] : weights) {
    state.weights[name] = weight.clone().set_requires_grad(true);
    state.average[name] = weight.clone();
    state.first[name] = at::zeros_like(weight);
    state.second[name] = at::zeros_like(weight);
  }
  return state;
}

double learning_rate(const OptimiserOptions& o, std::int64_t step) {
  if (step < o.warm_up_steps) {
    return o.peak_rate * static_cast<double>(step + 1) / static_cast<double>(o.warm_up_steps);
  }
  const double done = static_cast<double>(step - o.warm_up_steps) /
                      static_cast<double>(std::max<std::int64_t>(1, o.steps - o.warm_up_steps));
  return o.peak_rate * 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(1.0, done)));
}

double optimiser_step(const OptimiserOptions& o,
                      PretrainState& state,
                      const at::Tensor& used_tokens) {
  const at::NoGradGuard no_grad;
  TensorMap gradients;
  double square = 0.0;
  for (auto& [name, weight] : state.weights) {
    at::Tensor gradient = weight.grad();
    if (!gradient.defined()) continue;
    if (name == kTokens) gradient = gradient.index_select(0, used_tokens);
    square += gradient.square().sum().item<double>();
    gradients[name] = gradient;
  }
  const double norm = std::sqrt(square);
  if (!std::isfinite(norm)) {
    throw JobError("step {}: the gradients' norm is {}, expected a number", state.step, norm);
  }
  const double scale = norm > o.largest_norm ? o.largest_norm / norm : 1.0;
  const double rate = learning_rate(o, state.step);
  const auto t = static_cast<double>(state.step + 1);
  const double correct1 = 1.0 - std::pow(o.beta1, t), correct2 = 1.0 - std::pow(o.beta2, t);
  const double keep = std::min(o.average_decay, t / (t + 10.0));  // Short at first.

  for (auto& [name, gradient] : gradients) {
    const bool rows = name == kTokens;
    const auto part = [&](const at::Tensor& whole) {
      return rows ? whole.index_select(0, used_tokens) : whole;
    };
    at::Tensor weight = part(state.weights.at(name).detach());
    at::Tensor first = part(state.first.at(name)), second = part(state.second.at(name));
    at::Tensor average = part(state.average.at(name));
    gradient = gradient * scale;
    first.mul_(o.beta1).add_(gradient, 1.0 - o.beta1);
    second.mul_(o.beta2).addcmul_(gradient, gradient, 1.0 - o.beta2);
    if (decays(name, weight)) weight.mul_(1.0 - rate * o.weight_decay);
    weight.addcdiv_(first, (second / correct2).sqrt_().add_(o.epsilon), -rate / correct1);
    if (name == "logit_scale") weight.clamp_max_(kLargestLogitScale);
    average.mul_(keep).add_(weight, 1.0 - keep);
    if (rows) {
      state.weights.at(name).detach().index_copy_(0, used_tokens, weight);
      state.first.at(name).index_copy_(0, used_tokens, first);
      state.second.at(name).index_copy_(0, used_tokens, second);
      state.average.at(name).index_copy_(0, used_tokens, average);
    }
  }
  for (auto& [name, weight] : state.weights) weight.mutable_grad() = at::Tensor();
  ++state.step;
  return norm;
}

void save_state(const std::filesystem::path& path, const PretrainState& state) {
  SafeTensors file;
  const auto put = [&](const char* prefix, const TensorMap& tensors) {
    for (const auto& [name, tensor] : tensors) file.tensors[prefix + name] = tensor.detach();
  };
  put("weights/", state.weights);
  put("average/", state.average);
  put("first/", state.first);
  put("second/", state.second);
  file.metadata["step"] = std::to_string(state.step);
  write_safetensors(path, file);
}

PretrainState load_state(const std::filesystem::path& path) {
  SafeTensors file = read_safetensors(path);
  if (!file.metadata.contains("step")) {
    throw DataError("{}: not a checkpoint of the pretraining: no 'step'", path.string());
  }
  PretrainState state;
  state.step = std::stoll(file.metadata.at("step"));
  const auto take = [&](const std::string& prefix, TensorMap& tensors) {
    for (const auto& [name, tensor] : file.tensors) {
      if (name.starts_with(prefix)) tensors[name.substr(prefix.size())] = tensor;
    }
  };
  take("weights/", state.weights);
  take("average/", state.average);
  take("first/", state.first);
  take("second/", state.second);
  for (auto& [name, tensor] : state.weights) tensor.set_requires_grad(true);
  return state;
}

}  // namespace assay
