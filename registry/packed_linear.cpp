#include "registry/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace assay {
namespace {

// [.., k] times `matrix` [k, n], plus `bias`: [.., n].
at::Tensor product(const at::Tensor& x, const PackedMatrix& matrix, const float* bias) {
  const at::Tensor rows = x.contiguous();
  const std::int64_t count = rows.numel() / matrix.rows();
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = matrix.columns();
  at::Tensor out = at::empty(sizes, at::kFloat);
  const auto* from = rows.const_data_ptr<float>();
  auto* to = out.mutable_data_ptr<float>();
  at::parallel_for(0, matrix.columns() / PackedMatrix::kColumns, /*grain_size=*/1,
                   [&](std::int64_t first, std::int64_t last) {
                     matrix.multiply(from, count, bias, to, first, last);
                   });
  return out;
}

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& x,
                            const PackedLinear* layer) {
    context->saved_data["layer"] = reinterpret_cast<std::int64_t>(layer);
    return layer->forward(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto* layer = reinterpret_cast<const PackedLinear*>(context->saved_data["layer"].toInt());
    return {layer->backward(gradients[0]), at::Tensor()};
  }
};

}  // namespace

PackedLinear::PackedLinear(at::Tensor weight, at::Tensor bias)
    : weight_(std::move(weight)),
      bias_(std::move(bias)),
      forward_(std::make_unique<Packed>()),
      backward_(std::make_unique<Packed>()) {}

at::Tensor PackedLinear::operator()(const at::Tensor& x) const { return Linear::apply(x, this); }

at::Tensor PackedLinear::forward(const at::Tensor& x) const {
  const std::int64_t n = weight_.size(0), k = weight_.size(1);
  std::call_once(forward_->once, [&] {
    forward_->matrix = std::make_unique<PackedMatrix>(weight_.const_data_ptr<float>(), k, n, 1, k);
  });
  return product(x, *forward_->matrix, bias_.const_data_ptr<float>());
}

at::Tensor PackedLinear::backward(const at::Tensor& gradient) const {
  const std::int64_t n = weight_.size(0), k = weight_.size(1);
  std::call_once(backward_->once, [&] {
    backward_->matrix = std::make_unique<PackedMatrix>(weight_.const_data_ptr<float>(), n, k, k, 1);
  });
  return product(gradient, *backward_->matrix, nullptr);
}

}  // namespace assay
