#pragma once

#include <span>
#include <string>
#include <string_view>

namespace assay {

/// The candidate with the smallest edit distance (Levenshtein; case, `-` and `_` not counted) to
/// `name`, where it is near enough to be a slip of the hand: at most a third of its letters, two
/// at least. Otherwise empty.
[[nodiscard]] std::string nearest_name(std::string_view name,
                                       std::span<const std::string> candidates);

}  // namespace assay
