#pragma once

#include "datasets/mask_runs.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// Predictions and ground truth of n images of one category, as any program may write them.
///
/// A safetensors file with some of these tensors and no other, of the same n, height and width:
///   map    float32 [n, height, width]        anomaly maps, higher is more anomalous
///   mask   uint8 or bool [n, height, width]  0 normal, 1 anomalous
///   score  float32 [n]                       image scores, higher is more anomalous
///   label  uint8, int32, int64 or bool [n]   0 normal, 1 anomalous
/// Maps and masks are views of the memory-mapped file.
class ScoredImages {
 public:
  /// Throws DataError, naming the file, the tensor and the image, where the file is no such one, a
  /// label is neither 0 nor 1 or a score is NaN or infinite. Maps and masks are not looked at.
  explicit ScoredImages(const std::filesystem::path& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t num_images() const { return num_images_; }
  /// Of maps and masks; 0 where neither is there.
  [[nodiscard]] std::int64_t height() const { return height_; }
  [[nodiscard]] std::int64_t width() const { return width_; }

  [[nodiscard]] bool has_maps() const { return map_.defined(); }
  [[nodiscard]] bool has_masks() const { return mask_.defined(); }
  [[nodiscard]] bool has_scores() const { return score_.defined(); }
  [[nodiscard]] bool has_labels() const { return !labels_.empty(); }

  /// The map of each image, row-major.
  [[nodiscard]] std::vector<std::span<const float>> maps() const;
  /// The mask of image `image` with its regions. Throws DataError, naming image and pixel, where a
  /// byte is neither 0 nor 1.
  [[nodiscard]] MaskRuns labelled_mask(std::size_t image, int connectivity) const;
  /// Says that map and mask of an image are not needed soon: their pages no longer count as memory
  /// of this process. They may be read again.
  void forget(std::size_t image) const;
  [[nodiscard]] std::span<const float> scores() const;
  [[nodiscard]] std::span<const std::uint8_t> labels() const { return labels_; }

 private:
  std::string path_;
  std::int64_t num_images_ = 0, height_ = 0, width_ = 0;
  std::span<const std::byte> file_;  // As mapped by the tensors.
  at::Tensor map_, mask_, score_;
  std::vector<std::uint8_t> labels_;
};

}  // namespace assay
