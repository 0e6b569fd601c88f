#pragma once

#include "core/file.h"
#include "runner/channel.h"
#include "runner/world.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace assay {

struct GangOptions {
  std::vector<Slot> slots = {Slot{}};       ///< One a rank.
  std::filesystem::path worker = {};        ///< The program `assay-worker`.
  std::vector<std::string> arguments = {};  ///< Behind `assay-worker gang`.
  std::filesystem::path folder = {};        ///< Logs and `rankN.json` of its ranks; made empty.
  std::vector<std::string> launcher_arguments = {};  ///< Of mpirun, before ours.
};

/// A gang as its coordinator sees it: a persistent `mpirun -np N assay-worker gang`, or the process
/// itself for one rank, with the control channel on its standard input and output.
///
/// Its launcher is a process group of its own, so that a Ctrl-C at the terminal reaches the
/// coordinator alone, and dies with the coordinator.
class Gang {
 public:
  /// Starts the processes. Throws CommError where the launcher cannot be started.
  explicit Gang(GangOptions options);
  /// Ends every process at once.
  ~Gang();
  Gang(const Gang&) = delete;
  Gang& operator=(const Gang&) = delete;

  [[nodiscard]] const GangOptions& options() const { return options_; }
  /// Readable when `receive` has something to say.
  [[nodiscard]] int descriptor() const { return events_.get(); }

  void send(const nlohmann::json& message) { writer_->send(message); }
  /// No more messages: an idle gang ends by itself.
  void close_input() { input_.reset(); }

  /// The messages that have arrived; nothing once the gang has closed its end. Throws CommError on
  /// a damaged line.
  [[nodiscard]] std::optional<std::vector<nlohmann::json>> receive();

  /// Ends the gang, waiting `grace_seconds` for it to go by itself, then SIGTERM, then SIGKILL, and
  /// returns when all of its recorded ranks are dead. Throws CommError where a process does not
  /// die.
  GangEnd end(double grace_seconds);

 private:
  [[nodiscard]] bool wait_for_launcher(double seconds);

  GangOptions options_;
  Descriptor input_, events_;
  std::optional<MessageWriter> writer_;
  MessageReader reader_;
  int launcher_ = -1;
  std::optional<int> status_;  // Of waitpid.
  bool told_to_die_ = false;
  std::int64_t memory_kills_ = 0;  // Of the kernel, when it started.
};

/// What a rank exits with that ran out of memory.
inline constexpr int kOutOfMemoryExit = 12;  // ENOMEM

/// The command that starts a process on each slot: empty for one on this machine, which needs no
/// launcher. $ASSAY_MPIRUN, else the mpirun that the build found, else that of PATH.
[[nodiscard]] std::vector<std::string> launcher_command(const std::vector<Slot>& slots,
                                                        const std::vector<std::string>& arguments);

/// The environment of a launcher: this process's own, with what MPI needs here and without what an
/// outer launcher left (each `NAME=VALUE`). A user's own settings stay.
[[nodiscard]] std::vector<std::string> launcher_environment();

}  // namespace assay
