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

// Rows of P prompts, or of the prefix, on their way through the tower: one after another.
struct Rows {
  std::int64_t prompts, count;  // `count` rows a prompt.
  at::Tensor x;                 // [prompts * count, T]
  std::size_t suffix = 0;       // Which of the suffixes.

  [[nodiscard]] std::int64_t size() const { return prompts * count; }
  void keep(std::int64_t first, std::int64_t rows) {
    x = x.view({prompts, count, -1}).narrow(1, first, rows).flatten(0, 1);
    count = rows;
  }
};

// The prefix as it enters `block`, with the rows that deep prompts put there.
void enter_block(Rows& prefix, const DeepPrompts& deep, std::int64_t block) {
  at::Tensor rows = deep_rows(deep, block);
  if (!rows.defined()) return;
  rows = round_if_asked(rows, deep);
  prefix.x = deep.concat ? at::cat({rows, prefix.x})
                         : overwrite(prefix.x.unsqueeze(0), rows.unsqueeze(0)).squeeze(0);
  prefix.count = prefix.x.size(0);
}

// What has one row for each row of all parts along `dim`, cut into theirs. One operation: its
// backward joins the pieces, where that of a slice fills the rest with zeros.
std::vector<at::Tensor> cut(const at::Tensor& of_all,
                            const std::vector<Rows>& parts,
                            std::int64_t dim) {
  std::vector<std::int64_t> sizes;
  for (const Rows& part : parts) sizes.push_back(part.size());
  return of_all.split_with_sizes(sizes, dim);
}

// The heads of each part, [P, heads, S, 64], from those of all rows, [1, heads, rows, 64].
std::vector<Heads> split_heads(const Heads& all, const std::vector<Rows>& parts) {
  std::vector<Heads> heads(parts.size());
  for (at::Tensor Heads::*which : {&Heads::q, &Heads::k, &Heads::v}) {
    const std::vector<at::Tensor> own = cut((all.*which).squeeze(0), parts, 1);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      heads[i].*which = own[i].unflatten(1, {parts[i].prompts, parts[i].count}).transpose(0, 1);
    }
  }
  return heads;
}

at::Tensor joined(const std::vector<Rows>& parts) {
  std::vector<at::Tensor> rows;
  for (const Rows& part : parts) rows.push_back(part.x);
  return at::cat(rows);
}

// All parts, the prefix first, through one block; of prompts only the ends leave the last one.
void pass_block(const TransformerBlock& weights,
                const std::string& activation,
                bool is_last,
                std::vector<Rows>& parts,
                TextPrefix& prefix) {
  const std::vector<Heads> heads =
      split_heads(project_heads(weights, joined(parts).unsqueeze(0)), parts);
  prefix.keys.push_back(heads[0].k);
  prefix.values.push_back(heads[0].v);
  std::vector<at::Tensor> attended = {
      attend(heads[0].q, heads[0].k, heads[0].v, /*causal=*/true).flatten(0, 1)};
  for (std::size_t i = 1; i < parts.size(); ++i) {
    attended.push_back(
        attend_suffix(heads[i], heads[0].k, heads[0].v, /*ends_alone=*/is_last).flatten(0, 1));
    if (is_last) parts[i].keep(parts[i].count - 1, 1);
  }
  const at::Tensor x = finish_block(weights, joined(parts), at::cat(attended), activation);
  const std::vector<at::Tensor> own = cut(x, parts, 0);
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].x = own[i];
}

}  // namespace

PrefixedTexts encode_prefix(const Clip& clip,
                            const at::Tensor& embeddings,
                            const DeepPrompts& deep,
                            const std::vector<at::Tensor>& suffixes) {
  check_depth(clip, deep);
  const std::int64_t prefix_rows = embeddings.size(0), layers = clip.sizes().text_layers;
  std::vector<Rows> parts = {{1, prefix_rows, embeddings}};
  for (std::size_t i = 0; i < suffixes.size(); ++i) {
    const std::int64_t rows = suffixes[i].size(1);
    if (Overwritten(prefix_rows, rows, deep).end_is_among) continue;
    parts.push_back({suffixes[i].size(0), rows, suffixes[i].flatten(0, 1), i});
  }

  PrefixedTexts out;
  for (std::int64_t block = 1; block <= layers; ++block) {
    enter_block(parts[0], deep, block);
    for (std::size_t i = 1; block == 2 && i < parts.size(); ++i) {
      const std::int64_t lost = Overwritten(prefix_rows, parts[i].count, deep).lost;
      if (lost > 0) parts[i].keep(lost, parts[i].count - lost);
    }
    pass_block(clip.text_block(block), deep.activation, block == layers, parts, out.prefix);
    if (deep.concat) parts[0].keep(parts[0].count - prefix_rows, prefix_rows);
  }

  out.prefix.last = parts[0].x;
  out.texts.resize(suffixes.size());
  for (std::size_t i = 1; i < parts.size(); ++i) {
    out.texts[parts[i].suffix] = clip.project_text(parts[i].x);
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
