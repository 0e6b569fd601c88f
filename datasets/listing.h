#pragma once

#include "datasets/catalogue.h"
#include "datasets/manifest.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

/// How manifests are made: one loader a layout, each of which lists what it finds and goes on after
/// a problem.
namespace assay {

/// Names in one folder, sorted; system files of Apple and Windows are left out.
struct FolderContent {
  std::vector<std::string> folders;
  std::vector<std::string> images;  ///< By extension, whatever its case.
  std::vector<std::string> others;
};

/// Reads each folder of a data set once.
class FolderReader {
 public:
  explicit FolderReader(std::filesystem::path root) : root_(std::move(root)) {}

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  /// Content of `folder`, relative to the root; empty where there is no such folder.
  const FolderContent& read(const std::string& folder);
  bool has_folder(const std::string& folder);
  /// Whether a file is there, below the root.
  bool has_file(const std::string& path);
  /// `._x.png`, `.DS_Store`, `Thumbs.db` and the like met so far (case D04).
  [[nodiscard]] std::int64_t num_system_files() const { return num_system_files_; }

 private:
  std::filesystem::path root_;
  std::map<std::string, FolderContent> read_;
  std::int64_t num_system_files_ = 0;
};

/// A data set as found, with everything that is wrong with it.
struct Listing {
  Manifest manifest;
  std::vector<std::string> problems;
  std::vector<std::string> notes;
};

/// Lists `split` (`train`, `test` or `all`) of a data set. Sorted; counts compared with the
/// catalogue. Throws ConfigError or DataError where there is nothing to list.
[[nodiscard]] Listing list_dataset(const std::string& dataset,
                                   const std::filesystem::path& root,
                                   const std::string& split);

// One loader a layout. `description` says which categories there must be; each appends samples,
// problems and notes to `listing`.
void list_mvtec(const DatasetDescription& description, FolderReader& reader, Listing& listing);
void list_visa(const DatasetDescription& description, FolderReader& reader, Listing& listing);
void list_elpv(FolderReader& reader, Listing& listing);
void list_meta_json(FolderReader& reader, Listing& listing);

/// Whether `split` of a listing includes `part` (`train` or `test`).
[[nodiscard]] bool wants(const Listing& listing, const std::string& part);

/// `a/b.tar.png` -> `b.tar`.
[[nodiscard]] std::string stem_of(const std::string& path);

/// Whether the folder looks like `layout`.
[[nodiscard]] bool has_layout(FolderReader& reader, Layout layout);

/// Where ELPV's labels lie below the root; empty where they do not.
[[nodiscard]] std::string elpv_labels_path(FolderReader& reader);
/// The set's meta.json: below the root, or beside it as `meta_<NAME>.json`; empty where there is
/// none.
[[nodiscard]] std::filesystem::path meta_json_path(const std::filesystem::path& root);

}  // namespace assay
