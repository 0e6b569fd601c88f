#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace assay {

/// Anomalous pixels of one mask as horizontal runs with their region (`spec/metrics.md` 7.0).
struct MaskRun {
  std::int32_t row;
  std::int32_t first, last;  ///< Columns, inclusive.
  std::int32_t region;       ///< From 0; index into MaskRuns::areas.
  bool operator==(const MaskRun&) const = default;
};

/// A labelled mask. Runs are sorted by row, then column, and do not touch within a row.
struct MaskRuns {
  std::int32_t height = 0, width = 0;
  std::vector<MaskRun> runs;
  std::vector<std::int64_t> areas;  ///< Pixels of each region.
  bool operator==(const MaskRuns&) const = default;

  [[nodiscard]] std::int64_t num_anomalous() const;
};

/// Connected components of a byte mask [height, width], row-major, non-zero = anomalous;
/// 8-connected by default, else 4-connected. Regions are numbered in raster order of their first
/// pixel.
[[nodiscard]] MaskRuns label_mask(std::span<const std::uint8_t> mask,
                                  std::int32_t height,
                                  std::int32_t width,
                                  int connectivity = 8);

/// The byte mask again: 0 and 1, `out` has height * width bytes.
void fill_mask(const MaskRuns& runs, std::span<std::uint8_t> out);

}  // namespace assay
