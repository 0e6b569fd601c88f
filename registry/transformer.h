#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

namespace assay {

struct PackedBlock;

/// Weights of one pre-norm residual block of CLIP, in either tower
/// (`spec/methods-baselines.md` 1.6):
///
///   x += r(softmax(Q K^T / 8) V) with [Q, K, V] = LN1(x) W_qkv + b;  x += MLP(LN2(x))
///
/// Heads are 64 wide and contiguous. `W` is the width, [.., R, W] a stream of R rows.
struct TransformerBlock {
  at::Tensor ln_1_weight, ln_1_bias, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias;
  at::Tensor ln_2_weight, ln_2_bias, c_fc_weight, c_fc_bias, c_proj_weight, c_proj_bias;

  /// Set by `pack`: products of few rows are then computed by `PackedLinear`.
  std::shared_ptr<const PackedBlock> packed;
};

/// Prepares a block for products of few rows, as those of the text tower are: where its weights are
/// float32, on the CPU and frozen.
void pack(TransformerBlock& block);

/// Width of a head of every CLIP (`spec/methods-baselines.md` 1.1).
inline constexpr std::int64_t kHeadWidth = 64;

/// LayerNorm with eps 1e-5 over the last dimension.
[[nodiscard]] at::Tensor layer_norm(const at::Tensor& x,
                                    const at::Tensor& weight,
                                    const at::Tensor& bias);

/// Queries, keys and values of LN1(x): views of one product, [B, W / 64, R, 64] each.
struct Heads {
  at::Tensor q, k, v;
};
/// `x` is [B, R, W].
[[nodiscard]] Heads project_heads(const TransformerBlock& block, const at::Tensor& x);

/// Fused attention, softmax(q k^T / 8 + mask) v, heads joined: [B, R, W].
///
/// `mask` is nothing or of the dtype of `q`, broadcastable to [B, heads, R, R_k]; `causal` cuts
/// everything above the diagonal.
[[nodiscard]] at::Tensor attend(const at::Tensor& q,
                                const at::Tensor& k,
                                const at::Tensor& v,
                                bool causal = false,
                                const at::Tensor& mask = {});

/// r(.): the output projection of the block's attention.
[[nodiscard]] at::Tensor project_out(const TransformerBlock& block, const at::Tensor& attended);

/// MLP(LN2(x)). `activation` is `quick_gelu` (x sigmoid(1.702 x)) or `gelu` (erf).
[[nodiscard]] at::Tensor mlp(const TransformerBlock& block,
                             const at::Tensor& x,
                             const std::string& activation);

/// The rest of a block, once its rows have been attended to: x + r(attended), then + MLP. Both are
/// [.., W].
[[nodiscard]] at::Tensor finish_block(const TransformerBlock& block,
                                      const at::Tensor& x,
                                      const at::Tensor& attended,
                                      const std::string& activation);

/// A whole block from its heads: `x` holds the rows of `q`, which may be fewer than those of `k`
/// and `v`.
[[nodiscard]] at::Tensor finish_block(const TransformerBlock& block,
                                      const at::Tensor& x,
                                      const Heads& heads,
                                      const std::string& activation,
                                      bool causal = false);

/// Throws std::invalid_argument unless `activation` is one of the two.
void check_activation(const std::string& activation);

}  // namespace assay
