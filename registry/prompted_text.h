#pragma once

#include "registry/clip.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace assay {

/// Deep prompts of a text tower (`spec/methods-seeds.md` 1.6): `overwrite` puts rows 1..len of the
/// stream to tensor i on entry to block i + 2; `concat` puts them in front of row 0 of block i + 1
/// and drops their outputs.
struct DeepPrompts {
  std::vector<at::Tensor> rows;  ///< Each [len, T], leaves of autograd; empty = off.
  bool concat = false;
  bool fp16 = false;  ///< `text.deep_fp16 = fwd_bwd`: each value passes through half precision.
  std::string activation = "quick_gelu";  ///< Of the tower's MLPs; or `gelu`.
};

/// Keys and values of the rows that all prompts share, by block, and the stream's last state.
///
/// Attention is causal, so these rows depend on nothing that follows (`spec/methods-seeds.md` 3.9).
struct TextPrefix {
  std::vector<at::Tensor> keys, values;  ///< Block b: [1, heads, rows_b, 64].
  at::Tensor last;                       ///< [rows, T] after the last block, before ln_final.
};

/// The prefix of `embeddings` [R, T] (start token and shared context rows, positions already
/// added), R >= 1. Rows that deep prompts overwrite in every prompt join the prefix from block 2
/// on: it has max(R, 1 + len) rows there.
[[nodiscard]] TextPrefix encode_prefix(const Clip& clip,
                                       const at::Tensor& embeddings,
                                       const DeepPrompts& deep);

/// P prompts that go on after the prefix: `suffix` [P, S, T] (positions added; the last row is the
/// end token) -> [P, J], not normalised. Suffix rows that lie within the overwritten rows 1..len
/// exist in block 1 only; an end token among them is read from the prefix. `prefix_rows` is R of
/// `encode_prefix`.
[[nodiscard]] at::Tensor encode_suffixes(const Clip& clip,
                                         const TextPrefix& prefix,
                                         std::int64_t prefix_rows,
                                         const at::Tensor& suffix,
                                         const DeepPrompts& deep);

/// The literal computation, as the released code runs it but for the cut at the end token: whole
/// prompts [P, R, T] (positions added, last row = end token) -> [P, J]. The oracle of the shared
/// prefix.
[[nodiscard]] at::Tensor encode_prompts_literally(const Clip& clip,
                                                  const at::Tensor& prompts,
                                                  const DeepPrompts& deep);

}  // namespace assay
