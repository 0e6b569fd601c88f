#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// One image of a data set: where it lies and what is known of it.
struct Sample {
  std::string path;         ///< Below the data set's root, with '/'.
  std::string mask_path;    ///< Empty: no mask (a normal image, or none was drawn).
  std::string category;     ///< `metal_nut`.
  std::string defect_type;  ///< Folder name; `good` for normal images; may be empty.
  int label = 0;            ///< 1 = anomalous.
  std::string sha256;       ///< Of the image file's content; empty until digested.
  std::string mask_sha256;
  bool operator==(const Sample&) const = default;
};

/// A data set's split as a list of images, sorted by category and path.
struct Manifest {
  std::string dataset;  ///< Catalogue name: `visa`.
  std::string split;    ///< `train`, `test` or `all` = both.
  std::filesystem::path root;
  std::vector<Sample> samples;
  bool has_masks = false;    ///< Anomalous images have masks: pixel metrics exist.
  bool has_normals = false;  ///< There are normal images: image metrics exist.

  [[nodiscard]] std::vector<std::string> categories() const;  ///< Sorted, each once.
};

/// Lists a data set below `root`. Decodes nothing.
/// Throws ConfigError where the data set is unknown (nearest name), DataError where the folder is
/// not laid out as the catalogue says: the first problem, how many there are, and `assay data
/// check` for the rest.
[[nodiscard]] Manifest load_manifest(const std::string& dataset,
                                     const std::filesystem::path& root,
                                     const std::string& split);

/// Fills in the digests of images and masks. Digests of files are kept in `cache` (a file; may not
/// exist yet) by path, size, mtime in ns and inode, so that a second look costs a stat; an empty
/// path: no cache.
void digest_files(Manifest& manifest, const std::filesystem::path& cache);

/// SHA-256 over what the images are (contents, masks, labels, categories), not where they lie or
/// when they were written. Needs digests.
[[nodiscard]] std::string manifest_digest(const Manifest& manifest);

/// Every problem that `load_manifest` and decoding find, one line each (`assay data check`):
/// layout, counts against the catalogue, unreadable images, masks of another size, masks of normal
/// images.
struct CheckReport {
  std::vector<std::string> problems;  ///< A run refuses.
  std::vector<std::string>
      notes;  ///< Worth knowing: ignored system files, EXIF orientation, 16-bit images.
};

}  // namespace assay
