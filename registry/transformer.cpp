#include "registry/transformer.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace assay {
namespace {

// [B, R, n * W] -> [n, B, W / 64, R, 64]: a view.
at::Tensor split_heads(const at::Tensor& x, std::int64_t parts) {
  const std::int64_t heads = x.size(2) / (parts * kHeadWidth);
  return x.view({x.size(0), x.size(1), parts, heads, kHeadWidth}).permute({2, 0, 3, 1, 4});
}

// x sigmoid(1.702 x) = silu(1.702 x) / 1.702: one temporary, and one tensor kept for the backward.
at::Tensor quick_gelu(at::Tensor x) { return at::silu(x.mul_(1.702)).mul_(1 / 1.702); }

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::layer_norm(x, weight.sizes(), weight, bias, 1e-5);
}

Heads project_heads(const TransformerBlock& block, const at::Tensor& x) {
  const at::Tensor normed = layer_norm(x, block.ln_1_weight, block.ln_1_bias);
  const at::Tensor heads =
      split_heads(at::linear(normed, block.in_proj_weight, block.in_proj_bias), 3);
  return {heads[0], heads[1], heads[2]};
}

Heads project_keys_values(const TransformerBlock& block, const at::Tensor& x) {
  const std::int64_t width = x.size(2);
  const at::Tensor normed = layer_norm(x, block.ln_1_weight, block.ln_1_bias);
  const at::Tensor heads =
      split_heads(at::linear(normed, block.in_proj_weight.narrow(0, width, 2 * width),
                             block.in_proj_bias.narrow(0, width, 2 * width)),
                  2);
  return {{}, heads[0], heads[1]};
}

at::Tensor attend(const at::Tensor& q,
                  const at::Tensor& k,
                  const at::Tensor& v,
                  bool causal,
                  const at::Tensor& mask) {
  const at::Tensor joined = at::scaled_dot_product_attention(
      q, k, v, mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt, /*dropout_p=*/0.0,
      causal);
  return joined.transpose(1, 2).flatten(2);  // [B, heads, R, 64] -> [B, R, W]
}

at::Tensor project_out(const TransformerBlock& block, const at::Tensor& attended) {
  return at::linear(attended, block.out_proj_weight, block.out_proj_bias);
}

at::Tensor mlp(const TransformerBlock& block, const at::Tensor& x, const std::string& activation) {
  const at::Tensor normed = layer_norm(x, block.ln_2_weight, block.ln_2_bias);
  at::Tensor hidden = at::linear(normed, block.c_fc_weight, block.c_fc_bias);
  hidden = activation == "gelu" ? at::gelu(hidden) : quick_gelu(std::move(hidden));
  return at::linear(hidden, block.c_proj_weight, block.c_proj_bias);
}

at::Tensor run_block(const TransformerBlock& block,
                     const at::Tensor& x,
                     const std::string& activation,
                     bool causal) {
  const Heads heads = project_heads(block, x);
  const at::Tensor middle = x + project_out(block, attend(heads.q, heads.k, heads.v, causal));
  return middle + mlp(block, middle, activation);
}

void check_activation(const std::string& activation) {
  if (activation != "quick_gelu" && activation != "gelu") {
    throw std::invalid_argument("activation '" + activation +
                                "' is not known; expected quick_gelu or gelu");
  }
}

}  // namespace assay
