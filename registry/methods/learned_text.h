#pragma once

#include "registry/method.h"
#include "registry/prompted_text.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// What all prompts begin with: the start token and, maybe, learned rows that they share. In the
/// literal form nothing is computed of it: `text.last` are the rows themselves, without positions.
struct LearnedPrefix {
  TextPrefix text;
  std::int64_t rows = 1;  ///< Start token and shared learned rows.
};

/// The rows of P prompts after the prefix: own learned ones [P, C, T] (undefined: none, P = 1),
/// then fixed words [W, T] with the end token last.
struct OwnRows {
  at::Tensor learned, words;
};

/// A prefix, and text features [P, J] of prompts after it.
struct LearnedTexts {
  LearnedPrefix prefix;
  std::vector<at::Tensor> texts;
};

/// The text side that AnomalyCLIP and FAPrompt share: learned rows before fixed words, in a frozen
/// tower with deep prompts (`spec/methods-seeds.md` 1.6, 3.3, 3.9). In the literal form each prompt
/// passes the tower whole, its 77 rows, whatever others have done.
class LearnedText {
 public:
  LearnedText(const MethodContext& context, std::uint64_t seed);

  /// The deep prompts, `compound_prompts_text.<i>` [len, T].
  [[nodiscard]] const NamedTensors& parameters() const { return parameters_; }

  /// Token embeddings of `text` and the end token: [rows, T], constant.
  [[nodiscard]] at::Tensor embed_words(const std::string& text) const;

  /// The prefix (`shared` is [C, T], or undefined where the prompts share the start token alone)
  /// and, in one pass of the tower, prompts after it; not normalised. Throws ConfigError, as
  /// `encode` does, where a prompt is longer than the tower's context.
  [[nodiscard]] LearnedTexts encode_shared(const at::Tensor& shared = {},
                                           const std::vector<OwnRows>& prompts = {}) const;

  /// More prompts after a prefix: [P, J].
  [[nodiscard]] at::Tensor encode(const LearnedPrefix& prefix, const OwnRows& prompts) const;

 private:
  [[nodiscard]] at::Tensor rows_of(const OwnRows& prompts, std::int64_t prefix_rows) const;
  [[nodiscard]] std::vector<at::Tensor> encode_literally(const at::Tensor& prefix,
                                                         const std::vector<OwnRows>& prompts) const;

  const Clip& clip_;
  const Tokenizer& tokenizer_;
  bool literal_;
  DeepPrompts deep_;
  NamedTensors parameters_;
};

/// The tensors of a prefix in a fixed order, and back: for `Method::shared_terms`.
void append_tensors(const LearnedPrefix& prefix, std::vector<at::Tensor>& tensors);
[[nodiscard]] LearnedPrefix prefix_from_tensors(std::span<const at::Tensor> tensors,
                                                std::int64_t rows);

}  // namespace assay
