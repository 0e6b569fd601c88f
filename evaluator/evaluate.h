#pragma once

#include "core/comm/communicator.h"
#include "evaluator/category_result.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// What a method says of n images.
struct ImagePredictions {
  at::Tensor scores;  ///< float32 [n], higher is more anomalous.
  at::Tensor grids;   ///< float32 [n, g, g]: upsampled and smoothed they are the anomaly maps.
};

/// Puts together what the ranks predicted, in the order of the images, on every rank.
///
/// Row i of `local` is image `indices[i]` of `num_images`; a rank may have none. Throws JobError,
/// on every rank alike, where an image is missing or comes twice: no padding enters a metric.
[[nodiscard]] ImagePredictions gather_predictions(const ImagePredictions& local,
                                                  std::span<const std::int64_t> indices,
                                                  std::int64_t num_images,
                                                  Communicator& comm);

/// What is known of n images, in the order of the predictions.
struct EvaluationTruth {
  std::vector<std::string> names;  ///< For messages: paths below the data set's root.
  std::vector<std::string> categories;
  std::vector<std::uint8_t> labels;  ///< 1 = anomalous.
  std::vector<MaskRuns> masks;       ///< At the evaluation size; none at all: no pixel metrics.
};

struct EvaluateOptions {
  std::int64_t image_size = 518;  ///< Pixels: where maps are smoothed.
  std::int64_t eval_size = 518;   ///< Pixels: of maps and masks in pixel metrics.
  double sigma = 10;              ///< Pixels of `image_size`; 0 = no smoothing.
  PixelOptions pixel;
};

/// Metrics of each category, by name: what an evaluate job computes.
///
/// Every rank brings the same predictions and truth and gets the same results. Category c is
/// computed by rank c mod world_size, with one map a thread in memory at a time; the number of
/// ranks changes no bit. Throws JobError, on every rank alike, naming the image whose score or grid
/// is NaN or infinite, or the category that failed; std::invalid_argument where sizes differ.
[[nodiscard]] std::vector<CategoryResult> evaluate(const ImagePredictions& predictions,
                                                   const EvaluationTruth& truth,
                                                   const EvaluateOptions& options,
                                                   Communicator& comm);

}  // namespace assay
