#pragma once

#include <cstdint>
#include <vector>

namespace assay {

/// numpy's RandomState(seed).permutation(size): MT19937 and swaps drawn by rejection
/// (`spec/datasets.md` 2.4).
[[nodiscard]] std::vector<std::int64_t> numpy_permutation(std::int64_t size, std::uint32_t seed);

/// Indices of a list of `size` items that scikit-learn's train_test_split(test_size = 0.25,
/// random_state = 42) puts into each part: test = ceil(size / 4), train = floor(3 size / 4), in the
/// order drawn.
struct QuarterSplit {
  std::vector<std::int64_t> test, train;
};
[[nodiscard]] QuarterSplit quarter_split(std::int64_t size);

}  // namespace assay
