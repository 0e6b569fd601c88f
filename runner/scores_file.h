#pragma once

#include "datasets/manifest.h"

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace assay {

/// What an evaluate job computed for each image, in the manifest's order.
struct Scores {
  at::Tensor image_score;  ///< float32 [n]
  at::Tensor map_grid;     ///< float32 [n, g, g], before upsampling and smoothing.
};

/// Writes `scores.h5` atomically.
///
/// File format 2, HDF5, n images:
///   /image_score  float32 [n]
///   /map_grid     float32 [n, g, g]  patch scores: upsampled and smoothed they are the map
///   /label        uint8 [n]
///   /path         string [n]         below the data set's root
///   attributes    format_version (int64), job (string), dataset (string), split (string)
void write_scores(const std::filesystem::path& path,
                  const std::string& job,
                  const Manifest& manifest,
                  const Scores& scores);

/// Reads it again. Throws DataError where the file is missing, of another format or job.
[[nodiscard]] Scores read_scores(const std::filesystem::path& path, const std::string& job);

}  // namespace assay
