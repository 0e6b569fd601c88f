#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace assay {

/// CLIP's byte-pair encoding (`spec/methods-baselines.md` 1.5), less ftfy's repair of broken
/// Unicode; of HTML's entities, the five of XML and the numeric ones are unescaped.
class Tokenizer {
 public:
  static constexpr std::int64_t kStart = 49406, kEnd = 49407, kContext = 77;

  /// `merges`: `bpe_simple_vocab_16e6.txt.gz`, as OpenAI distributes it.
  /// Throws DataError where the file is missing or is another one (SHA-256), naming what installs
  /// it.
  explicit Tokenizer(const std::filesystem::path& merges);

  /// Ids of `text` (UTF-8) without start and end. Throws ConfigError where it is not UTF-8.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const;

  /// Start, ids of `text`, end: at most 77, not padded. Throws ConfigError where there are more,
  /// unless `cut`: then the first 77, the last one being the end token (open_clip's rule).
  [[nodiscard]] std::vector<std::int64_t> encode_prompt(std::string_view text,
                                                        bool cut = false) const;

 private:
  /// Appends the ids of one word, given as bytes.
  void append_word(std::string_view word, std::vector<std::int64_t>& ids) const;

  std::vector<std::int64_t> byte_ids_;  ///< Of each byte inside a word; at a word's end 256 more.
  std::unordered_map<std::uint64_t, std::int64_t> merges_;  ///< Two ids -> id, lower = earlier.
};

}  // namespace assay
