#pragma once

#include "evaluator/aupimo.h"
#include "evaluator/binned_pixels.h"
#include "evaluator/category_result.h"
#include "evaluator/scored_images.h"

#include <optional>
#include <string>
#include <vector>

namespace assay {

/// How pixel metrics are computed (`spec/metrics.md` 7).
enum class PixelAlgorithm {
  kExact,   ///< Takes two bytes more a pixel.
  kBinned,  ///< 2^16 bins from the lowest to the highest score, in constant memory.
};

struct MeasureOptions {
  PixelAlgorithm algorithm = PixelAlgorithm::kExact;
  int connectivity = 8;  ///< Of regions: 8 or 4.
  PixelOptions pixel;    ///< Its threads also label masks; cflow200 is exact's only.
  double aupimo_lower = 1e-5,
         aupimo_upper = 1e-4;  ///< False positive rates; normal scores up to the upper are kept.
};

/// All metrics of one file: what `assay metrics` prints.
struct Measured {
  CategoryResult metrics;                 ///< Without a category's name.
  std::optional<PixelBrackets> brackets;  ///< Of the binned algorithm.
  Aupimo aupimo;                          ///< Exact with either algorithm.
  std::vector<std::string> warnings;      ///< What looks wrong in the file, in words.
  /// Wall time. The binned algorithm labels masks as it goes, on the pixels' account.
  double seconds_masks = 0, seconds_pixels = 0, seconds_aupimo = 0;
};

/// Metrics of `images`; those whose tensors are missing are absent (`no_scores`, `no_labels`,
/// `no_maps`, `no_masks`). Throws DataError, naming file, image and pixel, on NaN or infinity and
/// on masks of a third value, and where no metric at all is defined, with the reasons.
[[nodiscard]] Measured measure(const ScoredImages& images, const MeasureOptions& options);

}  // namespace assay
