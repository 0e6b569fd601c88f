#pragma once

#include "core/file.h"
#include "runner/world.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// What a rank does right now, for an observer outside: `rankN.beat` in its gang's folder, a record
/// of fixed length that is written in place. A rank that cannot move cannot write, so that what
/// stands there is where it hangs. Costs a system call a change; what cannot be written is left
/// out.
class Beat {
 public:
  Beat(const std::filesystem::path& folder, int rank);
  /// Begins anew.
  void start_job();
  /// The rank enters a collective call. Ranks that make equal calls count equally.
  void enter(std::string_view operation);
  void leave();
  /// The rank gets on with its computation.
  void tick();

 private:
  void write();

  Descriptor file_;
  int rank_;
  std::string host_;
  int pid_;
  std::string operation_ = "computing";
  std::uint64_t sequence_ = 0, ticks_ = 0;
};

/// The beats of all ranks that wrote one into `folder`, by rank.
[[nodiscard]] std::vector<RankBeat> read_beats(const std::filesystem::path& folder);

}  // namespace assay
