#pragma once

#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace assay {

/// A real Slurm of one node, this machine with eight pretended cores and two
/// GPUs that are none: munged, slurmctld and slurmd
/// as Debian ships them, on ports and folders of their own. It ends with this object.
class SlurmCluster {
 public:
  /// Why there can be none here, for the message of a skipped test; empty where there can.
  [[nodiscard]] static std::string missing();

  /// Starts the daemons and waits until the node takes jobs. Throws std::runtime_error with their
  /// logs where it does not.
  SlurmCluster();
  ~SlurmCluster();
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;

  /// What makes Slurm's programs talk to this cluster.
  [[nodiscard]] std::map<std::string, std::string> environment() const;

  /// The controller stops answering, and answers again.
  void stop_controller();
  void start_controller();

 private:
  void start(const std::vector<std::string>& words);
  [[nodiscard]] std::string path(const std::string& name) const;
  [[nodiscard]] std::string logs() const;

  TemporaryFolder folder_;
  std::map<std::string, std::unique_ptr<RunningCommand>> daemons_;
};

}  // namespace assay
