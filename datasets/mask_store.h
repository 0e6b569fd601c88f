#pragma once

#include "datasets/manifest.h"
#include "datasets/mask_runs.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace assay {

/// The masks of a manifest's images at one evaluation size, labelled.
struct MaskSet {
  std::int32_t size = 0;        ///< Height and width of every mask.
  std::vector<MaskRuns> masks;  ///< One an image, in the manifest's order; normal: no runs.

  /// Anomalous images by category whose mask has no pixel, in the file or after the resize to
  /// `size`: they count as anomalous in image metrics and as normal pixels in pixel metrics (case
  /// D11). Empty for sets without masks.
  std::map<std::string, std::int64_t> num_empty;

  bool operator==(const MaskSet&) const = default;
};

/// Reads and labels the masks (`spec/datasets.md` 2.2; 8-connected). Throws DataError where a mask
/// cannot be read, has another size than its image, or has 16 bits.
[[nodiscard]] MaskSet label_masks(const Manifest& manifest, std::int32_t size);

/// `<folder>/<manifest digest>/<size>.h5`.
///
/// File format 1, HDF5, n images:
///   /run        int32 [runs, 4]   row, first and last column, region; image after image
///   /num_runs   int64 [n]         of each image
///   /area       int64 [regions]   pixels; image after image
///   /num_areas  int64 [n]
///   attributes  format_version, manifest_digest, size, checksum (XXH3-64 of the four arrays)
[[nodiscard]] std::filesystem::path mask_store_path(const std::filesystem::path& folder,
                                                    const std::string& manifest_digest,
                                                    std::int32_t size);

/// Writes atomically. Needs a digested manifest.
void write_masks(const std::filesystem::path& path, const Manifest& manifest, const MaskSet& set);

/// Throws DataError, naming the file and what is wrong, where it is not a whole file of format 1 of
/// this manifest and size.
[[nodiscard]] MaskSet read_masks(const std::filesystem::path& path,
                                 const Manifest& manifest,
                                 std::int32_t size);

/// What `load_masks` did.
struct LoadedMasks {
  MaskSet set;
  std::string refused;  ///< Why a file that was there was not used, for the log; empty otherwise.
};

/// The stored masks below `folder`; labelled and stored first where they are missing or refused.
/// Several processes may do so at once: each writes the same file, whole.
[[nodiscard]] LoadedMasks load_masks(const Manifest& manifest,
                                     const std::filesystem::path& folder,
                                     std::int32_t size);

}  // namespace assay
