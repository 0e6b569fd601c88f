#pragma once

#include <filesystem>
#include <string>

namespace assay {

// What MPI keeps for a gang on each of its hosts: the ranks' shared memory in /dev/shm, 4 MB each,
// and mpirun's session in $TMPDIR, 8 MB. Killed processes remove nothing of it, and 64 MB, as
// containers have, would be full after a few gangs. Hence it lies where whoever ends the gang
// looks.

/// As long as this lives, MPI_Init of this process keeps the shared memory of a rank of the gang of
/// `folder` where `remove_scratch` finds it. A user's own setting stays.
class RankScratch {
 public:
  explicit RankScratch(const std::filesystem::path& folder);
  ~RankScratch();
  RankScratch(const RankScratch&) = delete;
  RankScratch& operator=(const RankScratch&) = delete;

 private:
  std::filesystem::path shared_memory_;  // Empty: where MPI wants it.
};

/// `NAME=VALUE` for the environment of the gang's mpirun: where it keeps its session.
[[nodiscard]] std::string session_setting(const std::filesystem::path& folder);

/// Removes what processes of the gang have left on this host. They are dead.
void remove_scratch(const std::filesystem::path& folder);

}  // namespace assay
