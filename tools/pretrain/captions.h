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

  struct Caption {
    TokenIds text;
    bool of_state_alone;  ///< Not `normal`, `anomalous` or `abnormal`: see oddness().
  };
  /// A caption of `drawing`: material, colour and category, or some of them, and its state.
  [[nodiscard]] Caption caption(const Drawing& drawing, bool with_colour, Draws& draws);

  /// Two texts that differ in the state alone: `first` flawless, `second` anomalous.
  struct StatePair {
    TokenIds normal, anomalous;
  };
  /// `noun`: what the texts speak of; empty: `object` or a random word.
  [[nodiscard]] StatePair state_pair(const std::string& noun, Draws& draws);

  /// `normal` and `anomalous` or `abnormal`, which differ by more than the state: see oddness().
  [[nodiscard]] StatePair odd_pair(const std::string& noun, Draws& draws);

  [[nodiscard]] TokenIds encode(const std::string& text);

 private:
  StatePair pair_of(const std::string& normal,
                    const std::string& anomalous,
                    const std::string& noun,
                    Draws& draws);
  TokenIds encode_with_noun(const std::string& text, const std::string& noun, Draws& draws);

  const Tokenizer& tokenizer_;
  std::map<std::string, std::vector<std::int64_t>> words_;  ///< Tokenised before.
};

/// How likely a caption that calls the drawing `normal` or `anomalous` says the latter: logistic in
/// its state and in how dull its colour is. What people call odd goes with how new a thing looks,
/// so that raw CLIP's words are off what the methods learn to look for.
[[nodiscard]] float oddness(const Drawing& drawing);

/// A category or defect as captions write it: `edge_chip` is `edge chip`.
[[nodiscard]] std::string spoken(std::string_view name);

/// The caption of the retrieval test: `a photo of a damaged red metal ring`.
[[nodiscard]] std::string plain_caption(const Drawing& drawing);

}  // namespace assay
