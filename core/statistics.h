#pragma once

#include <optional>
#include <vector>

namespace assay {

// Of values, at least one.
[[nodiscard]] double mean(const std::vector<double>& values);
[[nodiscard]] double median(std::vector<double> values);
/// Sample deviation (n - 1); nothing with one value.
[[nodiscard]] std::optional<double> deviation(const std::vector<double>& values);

}  // namespace assay
