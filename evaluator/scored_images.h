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
/// A safetensors file with some of these tensors, of the same n, height and width:
///   map    float32 [n, height, width]        anomaly maps, higher is more anomalous
///   mask   uint8 or bool [n, height, width]  0 normal, 1 anomalous
///   score  float16, 32 or 64 [n]             image scores, higher is more anomalous
///   label  integer, bool or float [n]        0 normal, 1 anomalous
/// Others may lie beside all four. Maps and masks are views of the memory-mapped file.
class ScoredImages {
 public:
  /// Throws DataError, naming the file, the tensor and the image, where the file is no such one, a
  /// label is neither 0 nor 1 or a score is NaN or infinite, and where it has other tensors and not
  /// all four: one of them may be what is missing. Maps and masks are not looked at.
  explicit ScoredImages(const std::filesystem::path& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t num_images() const { return num_images_; }
  /// Of maps and masks; 0 where neither is there.
  [[nodiscard]] std::int64_t height() const { return height_; }
  [[nodiscard]] std::int64_t width() const { return width_; }

  [[nodiscard]] bool has_maps() const { return map_.defined(); }
  [[nodiscard]] bool has_masks() const { return mask_.defined(); }
  [[nodiscard]] bool has_scores() const { return !scores_.empty(); }
  [[nodiscard]] bool has_labels() const { return !labels_.empty(); }

  /// The map of each image, row-major.
  [[nodiscard]] std::vector<std::span<const float>> maps() const;
  /// The mask of image `image` with its regions. Throws DataError, naming image and pixel, where a
  /// byte is neither 0 nor 1.
  [[nodiscard]] MaskRuns labelled_mask(std::size_t image, int connectivity) const;
  /// Says that map and mask of an image are not needed soon: their pages no longer count as memory
  /// of this process. They may be read again.
  void forget(std::size_t image) const;
  [[nodiscard]] std::span<const double> scores() const { return scores_; }
  [[nodiscard]] std::span<const std::uint8_t> labels() const { return labels_; }
  /// Names of the file's other tensors.
  [[nodiscard]] const std::vector<std::string>& others() const { return others_; }

 private:
  std::string path_;
  std::int64_t num_images_ = 0, height_ = 0, width_ = 0;
  std::span<const std::byte> file_;  // As mapped by the tensors.
  at::Tensor map_, mask_;
  std::vector<double> scores_;
  std::vector<std::uint8_t> labels_;
  std::vector<std::string> others_;
};

}  // namespace assay
