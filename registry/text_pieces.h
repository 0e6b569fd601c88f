#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// Words of a text as CLIP's tokenizer cuts it (`spec/methods-baselines.md` 1.5, "Encoding", 1 and
/// 2): entities unescaped twice, lower case, then special tokens, clitics ('s, 't, 're, 've, 'm,
/// 'll, 'd), runs of letters, single digits, and runs of anything else that is not white space.
/// UTF-8 in and out. Throws ConfigError where `text` is not UTF-8.
[[nodiscard]] std::vector<std::string> text_pieces(std::string_view text);

}  // namespace assay
