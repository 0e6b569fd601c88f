#pragma once

#include "results/table.h"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace assay {

// A table for people and for machines. For people: percent with one decimal, one block for image
// and one for pixel metrics, the best bold and the second underlined, printed numbers marked with a
// degree sign, what is undefined a dash, columns without any number left out and named in a note.
// For machines: fractions, everything.

/// Aligned columns for a terminal. With `color` the marks are bold and underlined, else `*` and
/// `'`.
[[nodiscard]] std::string to_terminal(const Table& table, bool color);
/// GitHub's Markdown.
[[nodiscard]] std::string to_markdown(const Table& table);
/// LaTeX with booktabs: one `table` environment a block, names escaped.
[[nodiscard]] std::string to_latex(const Table& table);

/// One line a row and column: fractions, empty where undefined.
[[nodiscard]] std::string to_csv(const Table& table);
/// Fractions, null where undefined; raw names.
[[nodiscard]] nlohmann::json to_json(const Table& table);

}  // namespace assay
