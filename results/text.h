#pragma once

#include <cstddef>
#include <string>

namespace assay {

// Cells of tables as text.

/// Columns that a terminal uses for UTF-8 text of narrow characters.
[[nodiscard]] std::size_t width(const std::string& text);
[[nodiscard]] std::string pad_left(const std::string& text, std::size_t size);
[[nodiscard]] std::string pad_right(const std::string& text, std::size_t size);

/// As it is to be read in Markdown, in LaTeX.
[[nodiscard]] std::string escape_markdown(const std::string& text);
[[nodiscard]] std::string escape_latex(const std::string& text);

}  // namespace assay
