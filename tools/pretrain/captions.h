#pragma once

#include "datasets/synth_drawing.h"
#include "registry/tokenizer.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace assay {

/// A text as token ids, start and end included.
using TokenIds = std::vector<std::int64_t>;

/// Writes and tokenises the texts of the pretraining.
///
/// What should carry over to objects that were never drawn are the state words, so the noun of a
/// text is now and then `object` or a random word of the vocabulary, which teaches the text tower
/// that the state does not depend on it.
class CaptionWriter {
 public:
  explicit CaptionWriter(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// A caption of `drawing`: material, colour and category, or some of them, and its state.
  [[nodiscard]] TokenIds caption(const Drawing& drawing, bool with_colour, Draws& draws);

  /// Two texts that differ in the state alone: `first` flawless, `second` anomalous.
  struct StatePair {
    TokenIds normal, anomalous;
  };
  /// `noun`: what the texts speak of; empty: `object` or a random word.
  [[nodiscard]] StatePair state_pair(const std::string& noun, Draws& draws);

  [[nodiscard]] TokenIds encode(const std::string& text);

 private:
  TokenIds encode_with_noun(const std::string& text, const std::string& noun, Draws& draws);

  const Tokenizer& tokenizer_;
  std::map<std::string, std::vector<std::int64_t>> words_;  ///< Tokenised before.
};

/// A category or defect as captions write it: `edge_chip` is `edge chip`.
[[nodiscard]] std::string spoken(std::string_view name);

/// The caption of the retrieval test: `a photo of a damaged red metal ring`.
[[nodiscard]] std::string plain_caption(const Drawing& drawing);

}  // namespace assay
