#include "datasets/mask_runs.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <stdexcept>

namespace assay {
namespace {

/// Sets of run indices that grow together; the smallest index stands for its set.
class UnionFind {
 public:
  explicit UnionFind(std::size_t size) : parents_(size) {
    std::iota(parents_.begin(), parents_.end(), std::int32_t{0});
  }
  std::int32_t find(std::int32_t i) {
    while (parent(i) != i) i = parent(i) = parent(parent(i));
    return i;
  }
  void join(std::int32_t a, std::int32_t b) {
    a = find(a);
    b = find(b);
    parent(std::max(a, b)) = std::min(a, b);
  }

 private:
  std::int32_t& parent(std::int32_t i) { return parents_[static_cast<std::size_t>(i)]; }
  std::vector<std::int32_t> parents_;
};

// The first anomalous pixel, or `end`; eight at a time, since most of a mask is normal.
const std::uint8_t* find_anomalous(const std::uint8_t* begin, const std::uint8_t* end) {
  for (; end - begin >= 8; begin += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, begin, sizeof eight);
    if (eight != 0) return begin + std::countr_zero(eight) / 8;
  }
  return std::find_if(begin, end, [](std::uint8_t pixel) { return pixel != 0; });
}

std::vector<MaskRun> find_runs(std::span<const std::uint8_t> mask,
                               std::int32_t height,
                               std::int32_t width) {
  std::vector<MaskRun> runs;
  for (std::int32_t row = 0; row < height; ++row) {
    const std::uint8_t* const begin = mask.data() + std::int64_t{row} * width;
    const std::uint8_t* const end = begin + width;
    for (const std::uint8_t* first = find_anomalous(begin, end); first != end;) {
      const void* const normal = std::memchr(first, 0, static_cast<std::size_t>(end - first));
      const auto* const last = normal == nullptr ? end : static_cast<const std::uint8_t*>(normal);
      runs.push_back({.row = row,
                      .first = static_cast<std::int32_t>(first - begin),
                      .last = static_cast<std::int32_t>(last - begin) - 1,
                      .region = 0});
      first = find_anomalous(last, end);
    }
  }
  return runs;
}

}  // namespace

std::int64_t MaskRuns::num_anomalous() const {
  return std::accumulate(areas.begin(), areas.end(), std::int64_t{0});
}

MaskRuns label_mask(std::span<const std::uint8_t> mask,
                    std::int32_t height,
                    std::int32_t width,
                    int connectivity) {
  if (connectivity != 4 && connectivity != 8) {
    throw std::invalid_argument("label_mask: connectivity is 4 or 8");
  }
  if (height < 0 || width < 0 || mask.size() != static_cast<std::size_t>(height) * width) {
    throw std::invalid_argument("label_mask: the mask is not height * width bytes");
  }
  MaskRuns result{
      .height = height, .width = width, .runs = find_runs(mask, height, width), .areas = {}};
  std::vector<MaskRun>& runs = result.runs;
  const std::int32_t reach = connectivity == 8 ? 1 : 0;  // Columns that a neighbour may be off by.

  // First pass: each run joins those of the row above that it touches; `above` walks along.
  UnionFind sets(runs.size());
  for (std::size_t i = 0, above = 0; i < runs.size(); ++i) {
    while (runs[above].row < runs[i].row - 1 ||
           (runs[above].row == runs[i].row - 1 && runs[above].last + reach < runs[i].first)) {
      ++above;
    }
    for (std::size_t j = above; runs[j].row == runs[i].row - 1; ++j) {
      if (runs[j].first > runs[i].last + reach) break;
      sets.join(static_cast<std::int32_t>(i), static_cast<std::int32_t>(j));
    }
  }

  // Second pass: a set's first run comes first, so that its region's number is known by then.
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto root = static_cast<std::size_t>(sets.find(static_cast<std::int32_t>(i)));
    if (root == i) {
      runs[i].region = static_cast<std::int32_t>(result.areas.size());
      result.areas.push_back(0);
    } else {
      runs[i].region = runs[root].region;
    }
    result.areas[static_cast<std::size_t>(runs[i].region)] += runs[i].last - runs[i].first + 1;
  }
  return result;
}

void fill_mask(const MaskRuns& runs, std::span<std::uint8_t> out) {
  if (out.size() != static_cast<std::size_t>(runs.height) * runs.width) {
    throw std::invalid_argument("fill_mask: `out` is not height * width bytes");
  }
  std::ranges::fill(out, std::uint8_t{0});
  for (const MaskRun& run : runs.runs) {
    const auto row = out.begin() + std::int64_t{run.row} * runs.width;
    std::fill(row + run.first, row + run.last + 1, std::uint8_t{1});
  }
}

}  // namespace assay
