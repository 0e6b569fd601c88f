#pragma once

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// What a run looks like from outside at one moment.
struct RunState {
  std::size_t total = 0, done = 0, failed = 0;
  bool stopping = false;                    ///< Told to stop: what waits is for the next run.
  std::optional<double> remaining_seconds;  ///< Nothing: not known yet.
  std::map<int, std::string> running;       ///< By gang: the job's label.
  std::map<int, nlohmann::json> progress;   ///< By gang: fields of `JobControl::progress`.
};

/// What the coordinator leaves for `assay status` (`Workspace::live`), and back; of what is no such
/// state an empty one.
[[nodiscard]] nlohmann::json to_json(const RunState& state);
[[nodiscard]] RunState run_state_from_json(const nlohmann::json& json);

/// Shows a run to a person on stderr: a few live lines on a terminal, plain lines in a log or a
/// pipe.
class ProgressView {
 public:
  /// `stream` is a terminal or not; `quiet` shows failures alone.
  ProgressView(std::FILE* stream, bool quiet);
  ~ProgressView();
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  /// A line that stays: a job done or failed, a retry.
  void line(const std::string& text, bool important = false);
  /// The live lines; plain logs get one every 30 s at most.
  void update(const RunState& state);

 private:
  void clear();

  std::FILE* stream_;
  bool terminal_, quiet_;
  std::size_t shown_ = 0;  // Live lines on the terminal.
  std::chrono::steady_clock::time_point last_;
};

/// `[12/40] train faprompt:paper seed 0: step 30/60, loss 2.31; ends about 16:42 (3 min)`.
[[nodiscard]] std::string describe(const RunState& state);
/// The same in lines: what is done and failed, when all ends, what waits; then of each gang how far
/// its job is, and which. None is wider than `columns` characters: the job's label gives way, in
/// its middle.
[[nodiscard]] std::vector<std::string> live_lines(
    const RunState& state, std::size_t columns = std::numeric_limits<std::size_t>::max());
/// Prints to a person who may have gone: a closed pipe is no reason to stop working. False then.
bool say(std::FILE* stream, std::string_view text);
/// `45 s`, `12 min`, `3.4 h`.
[[nodiscard]] std::string duration_text(double seconds);
/// `12 kB`, `3.1 GB`, as disks are sold.
[[nodiscard]] std::string size_text(double bytes);

}  // namespace assay
