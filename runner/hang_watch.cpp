#include "runner/hang_watch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace assay {
namespace {

constexpr double kLongestLook = 5;  // Seconds between two looks; more is the observer's own pause.

}  // namespace

void HangWatch::restart(double now) {
  last_.clear();
  still_ = 0;
  looked_ = now;
}

double HangWatch::seconds_still(const std::vector<RankBeat>& beats, double now) {
  std::vector<std::uint64_t> present;
  for (const RankBeat& beat : beats) present.push_back(beat.ticks);
  still_ = present == last_ ? still_ + std::min(now - looked_, kLongestLook) : 0;
  looked_ = now;
  last_ = std::move(present);
  return still_;
}

std::string describe_hang(const std::vector<RankBeat>& beats) {
  if (beats.empty()) return "no rank has said what it does";
  const auto behind = std::ranges::min(beats, {}, &RankBeat::sequence).sequence;
  const bool any_stopped = std::ranges::any_of(beats, &RankBeat::stopped);
  std::vector<std::string> guilty;
  for (const RankBeat& beat : beats) {
    if (any_stopped ? !beat.stopped : beat.sequence != behind) continue;
    guilty.push_back(fmt::format("rank {} on {} (process {}{}): {}, operation {}", beat.rank,
                                 beat.host, beat.pid, beat.stopped ? ", stopped" : "",
                                 beat.operation, beat.sequence));
  }
  return fmt::format("{}", fmt::join(guilty, "; "));
}

}  // namespace assay
