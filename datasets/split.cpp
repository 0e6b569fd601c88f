#include "datasets/split.h"

#include <numeric>
#include <random>
#include <utility>

namespace assay {

std::vector<std::int64_t> numpy_permutation(std::int64_t size, std::uint32_t seed) {
  std::mt19937 bits(seed);  // The same initialiser as numpy's.
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (std::uint32_t last = static_cast<std::uint32_t>(size); last-- > 1;) {
    std::uint32_t mask = last;
    for (const int shift : {1, 2, 4, 8, 16}) mask |= mask >> shift;
    std::uint32_t draw = 0;
    do {
      draw = static_cast<std::uint32_t>(bits()) & mask;
    } while (draw > last);
    std::swap(order[last], order[draw]);
  }
  return order;
}

QuarterSplit quarter_split(std::int64_t size) {
  const std::vector<std::int64_t> order = numpy_permutation(size, 42);
  const std::int64_t num_test = (size + 3) / 4, num_train = 3 * size / 4;
  return {.test = {order.begin(), order.begin() + num_test},
          .train = {order.begin() + num_test, order.begin() + num_test + num_train}};
}

}  // namespace assay
