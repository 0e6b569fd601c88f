#pragma once

#include "evaluator/category_result.h"
#include "evaluator/scored_images.h"

#include <string>
#include <vector>

namespace assay {

struct MeasureOptions {
  int connectivity = 8;  ///< Of regions: 8 or 4.
  PixelOptions pixel;
};

/// All metrics of one file: what `assay metrics` prints.
struct Measured {
  CategoryResult metrics;                         ///< Without a category's name.
  std::vector<std::string> warnings;              ///< What looks wrong in the file, in words.
  double seconds_masks = 0, seconds_metrics = 0;  ///< Wall time: labelling; everything else.
};

/// Metrics of `images`; those whose tensors are missing are absent (`no_scores`, `no_labels`,
/// `no_maps`, `no_masks`). Throws DataError, naming file, image and pixel, on NaN or infinity and
/// on masks of a third value, and where no metric at all is defined, with the reasons.
[[nodiscard]] Measured measure(const ScoredImages& images, const MeasureOptions& options);

}  // namespace assay
