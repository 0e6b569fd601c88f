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

/// A prefix and what prompts after it give.
struct PrefixedTexts {
  TextPrefix prefix;
  std::vector<at::Tensor> texts;  ///< By suffix tensor: [P, J], not normalised.
};

/// The prefix of `embeddings` [R, T] (start token and shared context rows, positions already
/// added), R >= 1, and prompts that go on after it: each of `suffixes` is [P, S, T] (positions
/// added; the last row is the end token). All rows pass the tower in one stream, which reads its
/// weights once.
///
/// Rows that deep prompts overwrite in every prompt join the prefix from block 2 on: it has
/// max(R, 1 + len) rows there. Suffix rows among them exist in block 1 only; an end token among
/// them is read from the prefix.
[[nodiscard]] PrefixedTexts encode_prefix(const Clip& clip,
                                          const at::Tensor& embeddings,
                                          const DeepPrompts& deep,
                                          const std::vector<at::Tensor>& suffixes = {});

/// More prompts after a prefix: `suffix` as above -> [P, J]. `prefix_rows` is R of `encode_prefix`.
[[nodiscard]] at::Tensor encode_suffixes(const Clip& clip,
                                         const TextPrefix& prefix,
                                         std::int64_t prefix_rows,
                                         const at::Tensor& suffix,
                                         const DeepPrompts& deep);

/// The literal computation, as the released code runs it: whole prompts [P, R, T] (positions added)
/// -> [P, J]. `ends`: int64 [P], the row of each end token; undefined: the last one. The oracle of
/// the shared prefix.
[[nodiscard]] at::Tensor encode_prompts_literally(const Clip& clip,
                                                  const at::Tensor& prompts,
                                                  const DeepPrompts& deep,
                                                  const at::Tensor& ends = {});

}  // namespace assay
