#pragma once

#include "evaluator/metrics.h"
#include "tests/evaluator/oracles.h"

#include <random>
#include <vector>

namespace assay {

/// Pixel metrics of test images; their masks are labelled by the oracle.
[[nodiscard]] PixelMetrics metrics_of(const std::vector<oracle::PixelImage>& images,
                                      const PixelOptions& options = {},
                                      int connectivity = 8);

/// Square images with the scores of `spec/metrics.md` 6.3, from a linear congruential generator.
[[nodiscard]] std::vector<oracle::PixelImage> specification_scores(int num_images, int size);
/// Makes the pixels of rows [top, bottom) and columns [left, right) anomalous.
void mark(oracle::PixelImage& image, int top, int bottom, int left, int right);
/// Four images of 16 x 16 of `spec/metrics.md` 6.3.
[[nodiscard]] std::vector<oracle::PixelImage> specification_images();

/// What random images are drawn like.
struct ImageStyle {
  int num_images = 3;
  int levels = 12;      ///< Distinct scores; 0: as many as float32 has.
  float lowest = 0;     ///< Smallest possible score.
  float highest = 1;    ///< Largest possible score.
  double density = .2;  ///< Share of anomalous pixels.
};
/// Random scores, higher on anomalous pixels on average, and masks with small ragged regions; the
/// last image is normal. Sizes differ from image to image.
[[nodiscard]] std::vector<oracle::PixelImage> random_images(std::mt19937& rng,
                                                            const ImageStyle& style);

}  // namespace assay
