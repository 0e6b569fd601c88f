#pragma once

#include "runner/world.h"

#include <optional>
#include <string>
#include <vector>

namespace assay {

/// Notices that the ranks of an attempt no longer move, by the observer's own clock alone. Time in
/// which the observer itself was held (SIGSTOP, a suspended machine) counts little.
class HangWatch {
 public:
  /// A new attempt starts.
  void restart(double now);
  /// Takes what the ranks say now; how long none of them has moved.
  double seconds_still(const std::vector<RankBeat>& beats, double now);

 private:
  std::vector<std::uint64_t> last_;
  double still_ = 0, looked_ = 0;
};

/// Which rank holds up the others, for people: one that is stopped, else one that has not reached
/// the collective call that others wait in, else all.
[[nodiscard]] std::string describe_hang(const std::vector<RankBeat>& beats);

}  // namespace assay
