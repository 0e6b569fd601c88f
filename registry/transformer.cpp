#include "registry/transformer.h"

#include "registry/packed_linear.h"

#include <ATen/ATen.h>

#include <stdexcept>

namespace assay {

struct PackedBlock {
  explicit PackedBlock(const TransformerBlock& block)
      : in_proj(block.in_proj_weight, block.in_proj_bias),
        out_proj(block.out_proj_weight, block.out_proj_bias),
        c_fc(block.c_fc_weight, block.c_fc_bias),
        c_proj(block.c_proj_weight, block.c_proj_bias) {}

  PackedLinear in_proj, out_proj, c_fc, c_proj;
};

namespace {

// x sigmoid(1.702 x) = silu(1.702 x) / 1.702: one temporary, and one tensor kept for the backward.
at::Tensor quick_gelu(at::Tensor x) { return at::silu(x.mul_(1.702)).mul_(1 / 1.702); }

at::Tensor linear(const at::Tensor& x,
                  const at::Tensor& weight,
                  const at::Tensor& bias,
                  const PackedBlock* packed,
                  PackedLinear PackedBlock::*layer) {
  // Weights may have begun to be trained (tools/pretrain) after they were packed.
  if (packed != nullptr && !weight.requires_grad()) return (packed->*layer)(x);
  return at::linear(x.to(weight.scalar_type()), weight, bias);  // Clip::move_to
}

}  // namespace

void pack(TransformerBlock& block) {
  const at::Tensor& weight = block.in_proj_weight;
  if (!weight.is_cpu() || weight.scalar_type() != at::kFloat || weight.requires_grad()) return;
  block.packed = std::make_shared<PackedBlock>(block);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::layer_norm(x, weight.sizes(), weight, bias, 1e-5);
}

Heads project_heads(const TransformerBlock& block, const at::Tensor& x) {
  const at::Tensor normed = layer_norm(x, block.ln_1_weight, block.ln_1_bias);
  // Unbound, not selected thrice: where weights are trained, the gradient is one stack.
  const std::vector<at::Tensor> heads =  // [B, R, 3 W] -> 3 x [B, W / 64, R, 64]
      linear(normed, block.in_proj_weight, block.in_proj_bias, block.packed.get(),
             &PackedBlock::in_proj)
          .view({x.size(0), x.size(1), 3, x.size(2) / kHeadWidth, kHeadWidth})
          .permute({2, 0, 3, 1, 4})
          .unbind(0);
  return {heads[0], heads[1], heads[2]};
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
  return linear(attended, block.out_proj_weight, block.out_proj_bias, block.packed.get(),
                &PackedBlock::out_proj);
}

at::Tensor mlp(const TransformerBlock& block, const at::Tensor& x, const std::string& activation) {
  const at::Tensor normed = layer_norm(x, block.ln_2_weight, block.ln_2_bias);
  at::Tensor hidden =
      linear(normed, block.c_fc_weight, block.c_fc_bias, block.packed.get(), &PackedBlock::c_fc);
  hidden = activation == "gelu" ? at::gelu(hidden) : quick_gelu(std::move(hidden));
  return linear(hidden, block.c_proj_weight, block.c_proj_bias, block.packed.get(),
                &PackedBlock::c_proj);
}

at::Tensor finish_block(const TransformerBlock& block,
                        const at::Tensor& x,
                        const at::Tensor& attended,
                        const std::string& activation) {
  const at::Tensor middle = x + project_out(block, attended);
  return middle + mlp(block, middle, activation);
}

at::Tensor finish_block(const TransformerBlock& block,
                        const at::Tensor& x,
                        const Heads& heads,
                        const std::string& activation,
                        bool causal) {
  return finish_block(block, x, attend(heads.q, heads.k, heads.v, causal), activation);
}

void check_activation(const std::string& activation) {
  if (activation != "quick_gelu" && activation != "gelu") {
    throw std::invalid_argument("activation '" + activation +
                                "' is not known; expected quick_gelu or gelu");
  }
}

}  // namespace assay
