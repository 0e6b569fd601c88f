#pragma once

#include "datasets/mask_runs.h"
#include "evaluator/metrics.h"
#include "evaluator/score_key.h"
#include "evaluator/score_walk.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace assay {

/// What the exact value cannot lie below and above, rounding aside (1e-12).
struct Bracket {
  double lower = 0, upper = 0;
  bool operator==(const Bracket&) const = default;
};

struct PixelBrackets {
  Bracket auroc, ap, f1max, aupro;
  bool operator==(const PixelBrackets&) const = default;
};

struct BinnedMetrics {
  PixelMetrics metrics;                   ///< Those of the scores rounded to bins; no cflow200.
  std::optional<PixelBrackets> brackets;  ///< Where the metrics are defined.
  bool operator==(const BinnedMetrics&) const = default;
};

/// Pixel metrics of any number of images in constant memory, 2.4 MB at 2^16 bins
/// (`spec/metrics.md` 7.2).
///
/// Holds integers alone: shards of images, counted in any order by any number of threads or ranks,
/// merge to the same bits.
class BinnedPixels {
 public:
  static constexpr int kNumBins = 1 << 16;

  /// Bins of equal width from `lowest` to `highest`, finite. Scores beyond fall into the outer
  /// bins; the brackets hold all the same. Between 1 and 2^16 bins.
  BinnedPixels(float lowest, float highest, int num_bins = kNumBins);

  /// Counts one image. Its scores must be finite: NaN counts as the lowest score.
  void add(std::span<const float> map, const MaskRuns& mask);
  /// Adds what another one has counted; of the same bins, else throws std::invalid_argument.
  void merge(const BinnedPixels& other);

  /// `aupro_limit` in (0, 1].
  [[nodiscard]] BinnedMetrics result(double aupro_limit) const;

  /// The state as bytes, for other ranks or later; `load` throws DataError on anything else.
  [[nodiscard]] std::vector<std::byte> save() const;
  [[nodiscard]] static BinnedPixels load(std::span<const std::byte> bytes);

 private:
  [[nodiscard]] std::uint16_t bin_of(float score) const;
  /// The key of the lowest score in a bin.
  [[nodiscard]] std::uint32_t lowest_key_of(std::size_t bin) const;
  void count_normals(std::span<const float> scores);
  /// So that no counter of `recent_normal_` overflows.
  void make_room_for(std::uint64_t num_pixels);
  [[nodiscard]] std::vector<std::uint64_t> normal_counts() const;
  [[nodiscard]] std::vector<std::uint64_t> region_weights() const;

  float lowest_, highest_, bins_per_score_;
  std::uint64_t num_regions_ = 0, num_recent_ = 0;
  // By bin. The weight of a pixel is round(2^62 / |r|), in two words: the number of regions is not
  // known before the end.
  std::vector<std::uint64_t> normal_, anomalous_;
  std::vector<uint128> weights_;
  std::vector<std::uint32_t> recent_normal_;  // Not yet in `normal_`; half as much cache.
};

}  // namespace assay
