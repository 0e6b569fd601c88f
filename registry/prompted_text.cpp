#include "registry/prompted_text.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>
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

// Attention of suffix rows, q, k, v of [P, heads, S, 64], to the prefix and one another:
// [P, S, W], or of the end tokens alone, which see all others: [P, 1, W].
at::Tensor attend_suffix(const Heads& own,
                         const at::Tensor& prefix_keys,
                         const at::Tensor& prefix_values,
                         bool ends_alone) {
  const std::int64_t prompts = own.q.size(0), rows = own.q.size(2);
  const at::Tensor keys = at::cat({prefix_keys.expand({prompts, -1, -1, -1}), own.k}, 2);
  const at::Tensor values = at::cat({prefix_values.expand({prompts, -1, -1, -1}), own.v}, 2);
  if (ends_alone) return attend(own.q.narrow(2, rows - 1, 1), keys, values);
  return attend(own.q, keys, values, /*causal=*/false,
                suffix_mask(rows, prefix_keys.size(2), keys.options()));
}

// What becomes of prompts [P, S, T] when deep prompts overwrite rows of them.
struct Overwritten {
  std::int64_t lost = 0;      // Rows that exist in block 1 only.
  bool end_is_among = false;  // Then what block 1 does to any row is lost.
  std::int64_t end_row = 0;   // Of the end token in the whole prompt.

  Overwritten(std::int64_t prefix_rows, std::int64_t suffix_rows, const DeepPrompts& deep)
      : lost(std::max<std::int64_t>(overwritten_end(deep) - prefix_rows, 0)),
        end_is_among(prefix_rows + suffix_rows <= overwritten_end(deep)),
        end_row(prefix_rows + suffix_rows - 1) {}
};

// The prefix and prompts after it on their way through the tower, their rows one after another.
struct Rows {
  struct Prompts {
    std::size_t suffix;           // Which of the suffixes.
    std::int64_t prompts, count;  // `count` rows each.
  };
  std::int64_t prefix;
  std::vector<Prompts> prompts;
  at::Tensor x;     // [rows, T]
  at::Tensor mask;  // What rows see: [rows, rows], 0 or -inf; undefined until it is asked for.

  [[nodiscard]] std::int64_t size() const {
    std::int64_t rows = prefix;
    for (const Prompts& some : prompts) rows += some.prompts * some.count;
    return rows;
  }
};

// Each row sees the prefix and its own prompt, up to itself.
at::Tensor mask_of(const Rows& rows) {
  const std::int64_t size = rows.size();
  std::vector<float> seen(static_cast<std::size_t>(size * size),
                          -std::numeric_limits<float>::infinity());
  const auto see = [&](std::int64_t row, std::int64_t first, std::int64_t last) {
    std::fill(seen.begin() + row * size + first, seen.begin() + row * size + last, 0.0F);
  };
  std::int64_t first = 0, row = 0;  // Of the prompt.
  for (; row < rows.prefix; ++row) see(row, 0, row + 1);
  for (const Rows::Prompts& some : rows.prompts) {
    for (const std::int64_t end = row + some.prompts * some.count; row < end; ++row) {
      if ((row - end) % some.count == 0) first = row;
      see(row, 0, rows.prefix);
      see(row, first, row + 1);
    }
  }
  return at::tensor(seen).view({size, size});
}

// The rows that leave the last block: int64, those of the prefix and the prompts' end tokens.
at::Tensor rows_that_leave(const Rows& rows) {
  std::vector<std::int64_t> kept(static_cast<std::size_t>(rows.prefix));
  std::iota(kept.begin(), kept.end(), 0);
  std::int64_t end = rows.prefix - 1;
  for (const Rows::Prompts& some : rows.prompts) {
    for (std::int64_t i = 0; i < some.prompts; ++i) kept.push_back(end += some.count);
  }
  return at::tensor(kept, at::kLong).to(rows.x.device());
}

// What enters `block`, with the rows that deep prompts put there.
void enter_block(Rows& rows, const DeepPrompts& deep, std::int64_t block) {
  at::Tensor own = deep_rows(deep, block);
  if (!own.defined()) return;
  own = round_if_asked(own, deep);
  if (deep.concat) {
    rows.x = at::cat({own, rows.x});
    rows.prefix += own.size(0);
    rows.mask.reset();
    return;
  }
  const std::int64_t kept_from = 1 + own.size(0);
  if (rows.prefix >= kept_from) {
    rows.x = at::cat(
        {rows.x.narrow(0, 0, 1), own, rows.x.narrow(0, kept_from, rows.x.size(0) - kept_from)});
    return;
  }
  // Rows of prompts are among them, in all alike.
  const std::int64_t lost = kept_from - rows.prefix;
  std::vector<at::Tensor> parts = {rows.x.narrow(0, 0, 1), own};
  std::int64_t first = rows.prefix;
  for (Rows::Prompts& some : rows.prompts) {
    parts.push_back(rows.x.narrow(0, first, some.prompts * some.count)
                        .view({some.prompts, some.count, -1})
                        .narrow(1, lost, some.count - lost)
                        .flatten(0, 1));
    first += some.prompts * some.count;
    some.count -= lost;
  }
  rows.x = at::cat(parts);
  rows.prefix = kept_from;
  rows.mask.reset();
}

// All rows through one block; of prompts only the ends leave the last one.
void pass_block(const TransformerBlock& weights,
                const std::string& activation,
                bool is_last,
                Rows& rows,
                TextPrefix& prefix) {
  const Heads heads = project_heads(weights, rows.x.unsqueeze(0));
  prefix.keys.push_back(heads.k.narrow(2, 0, rows.prefix));
  prefix.values.push_back(heads.v.narrow(2, 0, rows.prefix));
  if (!rows.mask.defined()) rows.mask = mask_of(rows).to(heads.k.options());
  at::Tensor asking = heads.q, x = rows.x, mask = rows.mask;
  if (is_last) {
    const at::Tensor kept = rows_that_leave(rows);
    asking = asking.index_select(2, kept);
    x = x.index_select(0, kept);
    mask = mask.index_select(0, kept);
  }
  rows.x = finish_block(weights, x, attend(asking, heads.k, heads.v, /*causal=*/false, mask)[0],
                        activation);
}

}  // namespace

PrefixedTexts encode_prefix(const Clip& clip,
                            const at::Tensor& embeddings,
                            const DeepPrompts& deep,
                            const std::vector<at::Tensor>& suffixes) {
  check_depth(clip, deep);
  const std::int64_t prefix_rows = embeddings.size(0), layers = clip.sizes().text_layers;
  Rows rows{.prefix = prefix_rows, .prompts = {}, .x = {}, .mask = {}};
  std::vector<at::Tensor> parts = {embeddings};
  for (std::size_t i = 0; i < suffixes.size(); ++i) {
    const std::int64_t count = suffixes[i].size(1);
    if (Overwritten(prefix_rows, count, deep).end_is_among) continue;
    rows.prompts.push_back({.suffix = i, .prompts = suffixes[i].size(0), .count = count});
    parts.push_back(suffixes[i].flatten(0, 1));
  }
  rows.x = at::cat(parts);

  PrefixedTexts out;
  for (std::int64_t block = 1; block <= layers; ++block) {
    enter_block(rows, deep, block);
    pass_block(clip.text_block(block), deep.activation, block == layers, rows, out.prefix);
    const std::int64_t dropped = deep.concat ? rows.prefix - prefix_rows : 0;
    if (dropped > 0) {
      rows.x = rows.x.narrow(0, dropped, rows.x.size(0) - dropped);
      rows.prefix = prefix_rows;
      rows.mask.reset();
    }
  }

  out.prefix.last = rows.x.narrow(0, 0, rows.prefix);
  out.texts.resize(suffixes.size());
  std::int64_t first = rows.prefix;
  for (const Rows::Prompts& some : rows.prompts) {
    out.texts[some.suffix] = clip.project_text(rows.x.narrow(0, first, some.prompts));
    first += some.prompts;
  }
  for (std::size_t i = 0; i < suffixes.size(); ++i) {
    if (out.texts[i].defined()) continue;  // Else its end is overwritten.
    out.texts[i] = encode_suffixes(clip, out.prefix, prefix_rows, suffixes[i], deep);
  }
  return out;
}

at::Tensor encode_suffixes(const Clip& clip,
                           const TextPrefix& prefix,
                           std::int64_t prefix_rows,
                           const at::Tensor& suffix,
                           const DeepPrompts& deep) {
  const std::int64_t prompts = suffix.size(0), layers = clip.sizes().text_layers;
  const Overwritten overwritten(prefix_rows, suffix.size(1), deep);
  if (overwritten.end_is_among) {
    return clip.project_text(prefix.last.narrow(0, overwritten.end_row, 1)).expand({prompts, -1});
  }
  at::Tensor x = suffix;
  for (std::int64_t block = 1; block <= layers; ++block) {
    const std::int64_t lost = block == 2 ? overwritten.lost : 0;
    if (lost > 0) x = x.narrow(1, lost, x.size(1) - lost);
    const TransformerBlock& weights = clip.text_block(block);
    const at::Tensor attended = attend_suffix(
        project_heads(weights, x), prefix.keys[static_cast<std::size_t>(block - 1)],
        prefix.values[static_cast<std::size_t>(block - 1)], /*ends_alone=*/block == layers);
    if (block == layers) x = x.narrow(1, x.size(1) - 1, 1);
    x = finish_block(weights, x, attended, deep.activation);
  }
  return clip.project_text(x.squeeze(1));
}

at::Tensor encode_prompts_literally(const Clip& clip,
                                    const at::Tensor& prompts,
                                    const DeepPrompts& deep,
                                    const at::Tensor& ends) {
  check_depth(clip, deep);
  const std::int64_t last_row = prompts.size(1) - 1;  // Deep prompts may be longer than a prompt.
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
  if (!ends.defined()) return clip.project_text(x.select(1, last_row));
  const at::Tensor rows = ends.to(x.device()).view({-1, 1, 1}).expand({-1, 1, x.size(2)});
  return clip.project_text(x.gather(1, rows).squeeze(1));  // [P, R, T] -> [P, J]
}

}  // namespace assay
