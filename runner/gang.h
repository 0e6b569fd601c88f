#pragma once

#include "core/file.h"
#include "runner/channel.h"
#include "runner/launcher.h"
#include "runner/rank_pool.h"
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
  Launcher launcher = {};
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
  /// A gang of ranks that are there already: they end by themselves or with their world.
  Gang(GangOptions options, GangChannel channel);
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
  /// returns when all of its recorded ranks are dead, or with kUnreachable where that cannot be
  /// found out. Throws CommError where a process does not die.
  GangEnd end(double grace_seconds);

 private:
  void listen(Descriptor input, Descriptor events);
  [[nodiscard]] bool wait_for_launcher(double seconds);
  [[nodiscard]] bool wait_for_silence(double seconds);
  [[nodiscard]] std::string end_all_ranks() const;

  GangOptions options_;
  Descriptor input_, events_;
  std::optional<MessageWriter> writer_;
  MessageReader reader_;
  int launcher_ = -1;          // None where the ranks were there already.
  std::optional<int> status_;  // Of waitpid.
  bool told_to_die_ = false;
  std::int64_t memory_kills_ = 0;  // Of the kernel, when it started.
};

/// What a rank exits with that ran out of memory.
inline constexpr int kOutOfMemoryExit = 12;  // ENOMEM

}  // namespace assay
