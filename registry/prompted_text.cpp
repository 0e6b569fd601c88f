#include "registry/prompted_text.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace assay {
namespace {

// The deep prompt [len, T] that acts on entry to `block`, or nothing.
at::Tensor deep_rows(const DeepPrompts& deep, std::int64_t block) {
  const std::int64_t index = deep.concat ? block - 1 : block - 2;
  if (index < 0 || index >= std::ssize(deep.rows)) return {};
  return deep.rows[static_cast<std::size_t>(index)];
}

// Forward and backward through half precision, as autograd does it for a cast.
at::Tensor round_if_asked(const at::Tensor& rows, const DeepPrompts& deep) {
  return deep.fp16 ? rows.to(at::kHalf).to(at::kFloat) : rows;
}

// Rows 1..len of [P, R, T] become `rows` [P, len, T]: [P, max(R, 1 + len), T].
at::Tensor overwrite(const at::Tensor& x, const at::Tensor& rows) {
  const std::int64_t kept_from = 1 + rows.size(1);
  std::vector<at::Tensor> parts = {x.narrow(1, 0, 1), rows};
  if (x.size(1) > kept_from) parts.push_back(x.narrow(1, kept_from, x.size(1) - kept_from));
  return at::cat(parts, 1);
}

// One past the last row that is overwritten from block 2 on; 1 where none is.
std::int64_t overwritten_end(const DeepPrompts& deep) {
  return deep.rows.empty() || deep.concat ? 1 : 1 + deep.rows.front().size(0);
}

void check_depth(const Clip& clip, const DeepPrompts& deep) {
  const std::int64_t most = clip.sizes().text_layers - (deep.concat ? 0 : 1);
  if (std::ssize(deep.rows) > most) {
    throw std::invalid_argument(
        fmt::format("{} deep prompts, the text tower takes at most {}", deep.rows.size(), most));
  }
}

// Own rows see all of the prefix and themselves up to the diagonal: [S, prefix + S], 0 or -inf.
at::Tensor suffix_mask(std::int64_t rows, std::int64_t prefix_rows, at::TensorOptions options) {
  const at::Tensor above =
      at::full({rows, prefix_rows + rows}, -std::numeric_limits<float>::infinity(), options);
  return above.triu(prefix_rows + 1);
}

}  // namespace

TextPrefix encode_prefix(const Clip& clip, const at::Tensor& embeddings, const DeepPrompts& deep) {
  check_depth(clip, deep);
  TextPrefix prefix;
  at::Tensor x = embeddings.unsqueeze(0);
  for (std::int64_t block = 1; block <= clip.sizes().text_layers; ++block) {
    at::Tensor rows = deep_rows(deep, block);
    if (rows.defined()) {
      rows = round_if_asked(rows, deep).unsqueeze(0);
      x = deep.concat ? at::cat({rows, x}, 1) : overwrite(x, rows);
    }
    const TransformerBlock& weights = clip.text_block(block);
    const Heads heads = project_heads(weights, x);
    prefix.keys.push_back(heads.k);
    prefix.values.push_back(heads.v);
    x = finish_block(weights, x, heads, deep.activation, /*causal=*/true);
    if (rows.defined() && deep.concat) x = x.narrow(1, rows.size(1), x.size(1) - rows.size(1));
  }
  prefix.last = x.squeeze(0);
  return prefix;
}

at::Tensor encode_suffixes(const Clip& clip,
                           const TextPrefix& prefix,
                           std::int64_t prefix_rows,
                           const at::Tensor& suffix,
                           const DeepPrompts& deep) {
  const std::int64_t prompts = suffix.size(0);
  const std::int64_t end_row = prefix_rows + suffix.size(1) - 1;
  if (end_row < overwritten_end(deep)) {  // What block 1 does to these rows is lost.
    return clip.project_text(prefix.last.narrow(0, end_row, 1)).expand({prompts, -1});
  }
  const std::int64_t lost = std::max<std::int64_t>(overwritten_end(deep) - prefix_rows, 0);
  const std::int64_t layers = clip.sizes().text_layers;
  at::Tensor x = suffix;
  for (std::int64_t block = 1; block <= layers; ++block) {
    if (block == 2 && lost > 0) x = x.narrow(1, lost, x.size(1) - lost);
    const TransformerBlock& weights = clip.text_block(block);
    const at::Tensor& keys = prefix.keys[static_cast<std::size_t>(block - 1)];
    const at::Tensor& values = prefix.values[static_cast<std::size_t>(block - 1)];
    Heads heads = project_heads(weights, x);
    heads.k = at::cat({keys.expand({prompts, -1, -1, -1}), heads.k}, 2);
    heads.v = at::cat({values.expand({prompts, -1, -1, -1}), heads.v}, 2);
    at::Tensor mask;
    if (block < layers) {
      mask = suffix_mask(x.size(1), keys.size(2), keys.options());
    } else {  // Only the end token's row is read; it sees all others.
      heads.q = heads.q.narrow(2, x.size(1) - 1, 1);
      x = x.narrow(1, x.size(1) - 1, 1);
    }
    x = finish_block(weights, x, heads, deep.activation, /*causal=*/false, mask);
  }
  return clip.project_text(x.squeeze(1));
}

at::Tensor encode_prompts_literally(const Clip& clip,
                                    const at::Tensor& prompts,
                                    const DeepPrompts& deep) {
  check_depth(clip, deep);
  const std::int64_t end_row = prompts.size(1) - 1;
  at::Tensor x = prompts;
  for (std::int64_t block = 1; block <= clip.sizes().text_layers; ++block) {
    at::Tensor rows = deep_rows(deep, block);
    if (rows.defined()) {
      rows = round_if_asked(rows.expand({x.size(0), -1, -1}), deep);  // One copy a prompt.
      x = deep.concat ? at::cat({rows, x}, 1) : overwrite(x, rows);
    }
    const TransformerBlock& weights = clip.text_block(block);
    x = finish_block(weights, x, project_heads(weights, x), deep.activation, /*causal=*/true);
    if (rows.defined() && deep.concat) x = x.narrow(1, rows.size(1), x.size(1) - rows.size(1));
  }
  return clip.project_text(x.select(1, end_row));
}

}  // namespace assay
