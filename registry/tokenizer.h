#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {

/// CLIP's byte-pair encoding (`spec/methods-baselines.md` 1.5).
class Tokenizer {
 public:
  static constexpr std::int64_t kStart = 49406, kEnd = 49407, kContext = 77;

  /// `merges`: `bpe_simple_vocab_16e6.txt.gz`, as OpenAI distributes it.
  /// Throws DataError where the file is missing or is another one (SHA-256), naming what installs
  /// it.
  explicit Tokenizer(const std::filesystem::path& merges);

  /// Ids of `text` without start and end.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const;

 private:
  std::map<std::pair<std::string, std::string>, std::int64_t> ranks_;
  std::map<std::string, std::int64_t, std::less<>> ids_;
};

}  // namespace assay
