#pragma once

#include "results/store.h"
#include "runner/workspace.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace assay {

// What `assay store` does. Job folders are what a run has made; the store is what it knows of them.

/// Everything in which store and files disagree, or a file is not what its digest says: one line a
/// problem, naming job and path. Reads every file of every job that is done.
[[nodiscard]] std::vector<std::string> check_workspace(const Store& store,
                                                       const Workspace& workspace);

/// Something that no study needs.
struct Garbage {
  std::filesystem::path path;  ///< A file or a folder.
  std::string why;
  std::uintmax_t bytes = 0;
  std::string job = {};  ///< Its id, where it is a job's folder or result.
};

/// Jobs (by the store or by their folder alone), features, masks, kept training states and
/// leftovers of killed writers that no recorded study needs. Throws ConfigError where no study is
/// recorded: then everything would be.
[[nodiscard]] std::vector<Garbage> find_garbage(const Store& store, const Workspace& workspace);

/// Removes it, from the store first. The caller holds the workspace's lease.
void remove_garbage(const std::vector<Garbage>& garbage, Store& store);

struct Rebuilt {
  std::int64_t jobs = 0, done = 0, attempts = 0, metrics = 0;
  std::vector<std::string> problems;  ///< Folders that are no job's, results that are damaged.
  std::filesystem::path former;       ///< Where the store before lies now; empty: there was none.
};

/// Makes the store again from the job folders alone; the one before is kept beside it. Studies are
/// no part of the folders: the next run of each records it, and starts nothing. The caller holds
/// the lease.
[[nodiscard]] Rebuilt rebuild_store(const Workspace& workspace);

}  // namespace assay
