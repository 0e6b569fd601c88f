#pragma once

#include <string>

namespace assay {

/// As a POSIX shell reads one word: bare where that is safe, else in single quotes.
[[nodiscard]] std::string shell_word(const std::string& word);

}  // namespace assay
