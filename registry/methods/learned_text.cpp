#include "registry/methods/learned_text.h"

#include "core/error.h"
#include "registry/catalogue_entry.h"
#include "registry/parameters.h"

#include <ATen/ATen.h>

namespace assay {
namespace {

void check_length(const Clip& clip, std::int64_t rows) {
  if (rows <= clip.sizes().context) return;
  throw ConfigError(
      "a prompt has {} rows, expected at most {}, the context of the text tower; learn fewer "
      "tokens",
      rows, clip.sizes().context);
}

}  // namespace

LearnedText::LearnedText(const MethodContext& context, std::uint64_t seed)
    : clip_(context.clip), tokenizer_(context.tokenizer), literal_(context.literal) {
  const nlohmann::json& switches = context.resolved.switches;
  deep_.activation = switches.at("vis.activation");  // Of both towers.
  if (!deep_prompts_on(switches)) return;
  deep_.concat = switches.at("text.deep_mode") == "concat";
  deep_.fp16 = switches.at("text.deep_fp16") == "fwd_bwd";
  const auto length = switches.at("text.deep_len").get<std::int64_t>();
  for (std::int64_t i = 0; i < num_deep_prompts(switches); ++i) {
    const std::string name = fmt::format("compound_prompts_text.{}", i);
    deep_.rows.push_back(
        normal_parameter(seed, name, {length, clip_.sizes().text_width}, clip_.device()));
    parameters_.emplace_back(name, deep_.rows.back());
  }
}

at::Tensor LearnedText::embed_words(const std::string& text) const {
  std::vector<std::int64_t> ids = tokenizer_.encode(text);
  ids.push_back(Tokenizer::kEnd);
  return clip_.embed_tokens(at::tensor(ids, at::kLong));
}

// With positions, [P, rows, T].
at::Tensor LearnedText::rows_of(const OwnRows& prompts, std::int64_t prefix_rows) const {
  at::Tensor rows = prompts.words.unsqueeze(0);
  if (prompts.learned.defined()) {
    rows = at::cat({prompts.learned, rows.expand({prompts.learned.size(0), -1, -1})}, 1);
  }
  check_length(clip_, prefix_rows + rows.size(1));
  return rows + clip_.text_positions().narrow(0, prefix_rows, rows.size(1));
}

// Prompts of all kinds in one pass of the tower, filled up with the token 0 (3.10, R1 to R3).
std::vector<at::Tensor> LearnedText::encode_literally(const at::Tensor& prefix,
                                                      const std::vector<OwnRows>& prompts) const {
  const std::int64_t context = clip_.sizes().context;
  std::vector<at::Tensor> rows;
  std::vector<std::int64_t> counts, ends;
  for (const OwnRows& own : prompts) {
    const std::int64_t count = own.learned.defined() ? own.learned.size(0) : 1;
    const auto for_all = [&](const at::Tensor& part) {
      return part.unsqueeze(0).expand({count, -1, -1});
    };
    std::vector<at::Tensor> parts;
    parts.push_back(for_all(prefix));
    if (own.learned.defined()) parts.push_back(own.learned);
    parts.push_back(for_all(own.words));
    std::int64_t used = 0;
    for (const at::Tensor& part : parts) used += part.size(1);
    check_length(clip_, used);
    parts.push_back(for_all(clip_.embed_tokens(at::zeros({context - used}, at::kLong))));
    rows.push_back(at::cat(parts, 1));
    counts.push_back(count);
    ends.insert(ends.end(), static_cast<std::size_t>(count), used - 1);
  }
  return encode_prompts_literally(clip_, at::cat(rows) + clip_.text_positions(), deep_,
                                  at::tensor(ends, at::kLong))
      .split_with_sizes(counts);
}

LearnedTexts LearnedText::encode_shared(const at::Tensor& shared,
                                        const std::vector<OwnRows>& prompts) const {
  at::Tensor rows = clip_.embed_tokens(at::tensor({Tokenizer::kStart}, at::kLong));
  if (shared.defined()) rows = at::cat({rows, shared});
  const std::int64_t count = rows.size(0);
  check_length(clip_, count);
  if (literal_) {
    LearnedTexts whole{{{.keys = {}, .values = {}, .last = rows}, count}, {}};
    if (!prompts.empty()) whole.texts = encode_literally(rows, prompts);
    return whole;
  }
  rows = rows + clip_.text_positions().narrow(0, 0, count);
  std::vector<at::Tensor> suffixes;
  for (const OwnRows& own : prompts) suffixes.push_back(rows_of(own, count));
  PrefixedTexts encoded = encode_prefix(clip_, rows, deep_, suffixes);
  return {{std::move(encoded.prefix), count}, std::move(encoded.texts)};
}

at::Tensor LearnedText::encode(const LearnedPrefix& prefix, const OwnRows& prompts) const {
  if (literal_) return encode_literally(prefix.text.last, {prompts}).front();
  return encode_suffixes(clip_, prefix.text, prefix.rows, rows_of(prompts, prefix.rows), deep_);
}

void append_tensors(const LearnedPrefix& prefix, std::vector<at::Tensor>& tensors) {
  const TextPrefix& text = prefix.text;
  tensors.insert(tensors.end(), text.keys.begin(), text.keys.end());
  tensors.insert(tensors.end(), text.values.begin(), text.values.end());
  tensors.push_back(text.last);
}

LearnedPrefix prefix_from_tensors(std::span<const at::Tensor> tensors, std::int64_t rows) {
  const std::size_t blocks = tensors.size() / 2;
  const auto part = [&](std::size_t first) {
    return std::vector<at::Tensor>(tensors.begin() + first, tensors.begin() + first + blocks);
  };
  return {{.keys = part(0), .values = part(blocks), .last = tensors.back()}, rows};
}

}  // namespace assay
