#pragma once

#include "core/error.h"
#include "runner/slots.h"

#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// What starts the ranks of a gang.
struct Launcher {
  enum class Kind {
    kMpirun,
    kSlurm,  ///< A step of an allocation.
  };
  Kind kind = Kind::kMpirun;
  std::vector<std::string> arguments = {};  ///< Passed on to mpirun or srun.
  std::string allocation = {};              ///< Of kSlurm: the job's number.
  std::string hostfile = {};                ///< That names the slots' hosts, for messages.
  bool gpus = false;  ///< Each rank takes a GPU of those that the launcher lets it see.
};

/// The command that starts a process on each slot. Of mpirun: empty for one process on this
/// machine, which needs no launcher; $ASSAY_MPIRUN, else the mpirun that the build found, else that
/// of PATH. Of Slurm: a step called `step`.
[[nodiscard]] std::vector<std::string> launcher_command(const Launcher& launcher,
                                                        const std::vector<Slot>& slots,
                                                        const std::string& step);

/// The environment of a launcher: this process's own, with what MPI needs here and without what an
/// outer launcher left (each `NAME=VALUE`). A user's own settings stay.
[[nodiscard]] std::vector<std::string> launcher_environment(const Launcher& launcher);

/// What the Slurm step of a gang is called whose folder this is, and where its scratch lies: the
/// same after a crash.
[[nodiscard]] std::string step_name(const std::filesystem::path& folder);

/// Hosts of a gang on other machines, in its folder: how to reach its ranks when it has died.
inline constexpr const char* kHostsFile = "hosts";

/// The gang's hosts as mpirun's `--host` takes them, in the order of its ranks, with `count` ranks
/// each; 0: as many as there are slots. Empty for a gang on this machine.
[[nodiscard]] std::string host_list(const std::vector<Slot>& slots, int count = 0);

/// Whether the processes of a gang are dead cannot be found out: their host does not answer.
class UnreachableError : public CommError {
 public:
  using CommError::CommError;
};

/// Ends what ranks of the gang of `folder` still live, on this machine, in the allocation, or by
/// `worker` on the hosts that mpirun had started them on, and returns when none does and nothing is
/// left of what MPI kept for them (`gang_scratch.h`). Throws CommError where one does not die,
/// UnreachableError with host and process where a host does not answer.
void end_ranks(const Launcher& launcher,
               const std::filesystem::path& worker,
               const std::filesystem::path& folder);

}  // namespace assay
