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
  bool has_masks = false;            ///< Anomalous images have masks: pixel metrics exist.
  bool has_normals = false;          ///< There are normal images: image metrics exist.
  std::vector<std::string> skipped;  ///< Paths of images left out on request.

  [[nodiscard]] std::vector<std::string> categories() const;  ///< Sorted, each once.
};

/// Lists a data set below `root`: one of the catalogue, or under any other name a folder with a
/// meta.json or in the layout of MVTec AD or VisA. `manifest.root` may be a folder inside `root`,
/// where an archive nests. Decodes nothing.
/// Throws ConfigError where the data set is unknown (nearest name), DataError where the folder is
/// not laid out as the catalogue says: the first problem, how many there are, and `assay data
/// check` for the rest.
///
/// Images of `skip`, by path below the root, are left out, and recorded if they were there.
[[nodiscard]] Manifest load_manifest(const std::string& dataset,
                                     const std::filesystem::path& root,
                                     const std::string& split,
                                     const std::vector<std::string>& skip = {});

/// Fills in the digests of images and masks. Digests of files are kept in `cache` (a file; may not
/// exist yet) by path, size, mtime in ns and inode, so that a second look costs a stat; an empty
/// path: no cache. With `verify` every file is read again. Throws DataError where one cannot be.
void digest_files(Manifest& manifest, const std::filesystem::path& cache, bool verify = false);

/// SHA-256 over what the images are (contents, masks, labels, categories) and their order, not
/// where they lie or when they were written. Throws std::invalid_argument before `digest_files`.
[[nodiscard]] std::string manifest_digest(const Manifest& manifest);

}  // namespace assay
