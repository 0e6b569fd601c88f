#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// Every problem that `load_manifest` and decoding find, one line each (`assay data check`).
struct CheckReport {
  std::vector<std::string> problems;  ///< A run refuses.
  /// Worth knowing: ignored system files, orientation tags, 16-bit images.
  std::vector<std::string> notes;
  std::size_t num_images = 0, num_masks = 0;  ///< Looked at.
};

/// Lists both splits of a data set and decodes every image and mask: layout, counts against the
/// catalogue, unreadable images, masks of another size, empty masks of anomalous images, masks of
/// normal images. Throws as `load_manifest` only where there is nothing to list.
[[nodiscard]] CheckReport check_dataset(const std::string& dataset,
                                        const std::filesystem::path& root);

}  // namespace assay
