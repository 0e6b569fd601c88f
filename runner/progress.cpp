#include "runner/progress.h"

#include "core/optional_json.h"

#include <fmt/chrono.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>

namespace assay {
namespace {

constexpr auto kPlainInterval = std::chrono::seconds(30);
constexpr auto kTerminalInterval = std::chrono::milliseconds(100);

/// `step 30/60, loss 2.5, 16.5/s`; empty where nothing is known.
std::string progress_text(const nlohmann::json& progress) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (progress.contains("total")) {
    add(fmt::format("{} {}/{}", progress.value("unit", "step"), progress.value("done", 0L),
                    progress.value("total", 0L)));
  }
  if (progress.contains("loss")) add(fmt::format("loss {:.4g}", progress.value("loss", 0.0)));
  if (progress.contains("rate")) add(fmt::format("{:.3g}/s", progress.value("rate", 0.0)));
  return text;
}

struct TerminalSize {
  std::size_t rows = 24, columns = 80;
};

TerminalSize terminal_size(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {.rows = std::max<std::size_t>(size.ws_row, 3), .columns = size.ws_col};
}

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

std::size_t num_characters(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, starts_character));
}

/// `count` characters of UTF-8 from character `first` on.
std::string characters(const std::string& text, std::size_t first, std::size_t count) {
  std::string some;
  std::size_t started = 0;
  for (const char c : text) {
    if (starts_character(c)) ++started;
    if (started > first && started - first <= count) some += c;
  }
  return some;
}

/// At most `columns` characters: what is left out is in the middle, since the end of a label (seed,
/// data set) tells as much as its beginning.
std::string shortened(const std::string& text, std::size_t columns) {
  const std::size_t size = num_characters(text);
  if (size <= columns) return text;
  if (columns < 3) return characters(text, 0, columns);
  const std::size_t head = columns / 2, tail = columns - head - 1;
  return characters(text, 0, head) + "…" + characters(text, size - tail, tail);
}

std::string ends_text(const RunState& state) {
  if (state.stopping) return "stopping";
  if (!state.remaining_seconds) return "";
  const std::time_t end = std::time(nullptr) + static_cast<std::time_t>(*state.remaining_seconds);
  return fmt::format("ends about {:%H:%M} ({})", fmt::localtime(end),
                     duration_text(*state.remaining_seconds));
}

std::string progress_of(const RunState& state, int gang) {
  const auto progress = state.progress.find(gang);
  return progress == state.progress.end() ? "" : progress_text(progress->second);
}

}  // namespace

bool say(std::FILE* stream, std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stream) == text.size() &&
         std::fflush(stream) == 0;
}

nlohmann::json to_json(const RunState& state) {
  nlohmann::json running = nlohmann::json::array();
  for (const auto& [gang, label] : state.running) {
    const auto progress = state.progress.find(gang);
    running.push_back(
        {{"gang", gang},
         {"job", label},
         {"progress", progress == state.progress.end() ? nlohmann::json() : progress->second}});
  }
  return {{"total", state.total},
          {"done", state.done},
          {"failed", state.failed},
          {"stopping", state.stopping},
          {"remaining_seconds", optional_json(state.remaining_seconds)},
          {"running", std::move(running)}};
}

RunState run_state_from_json(const nlohmann::json& json) {
  RunState state{.remaining_seconds = {}, .running = {}, .progress = {}};
  try {
    state.total = json.at("total");
    state.done = json.at("done");
    state.failed = json.at("failed");
    state.stopping = json.value("stopping", false);
    state.remaining_seconds = optional_value<double>(json.at("remaining_seconds"));
    for (const nlohmann::json& running : json.at("running")) {
      const int gang = running.at("gang");
      state.running[gang] = running.at("job");
      state.progress[gang] = running.at("progress");
    }
  } catch (const nlohmann::json::exception&) {
    return {};  // Of another build: it says nothing that lasts.
  }
  return state;
}

std::string duration_text(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string size_text(double bytes) {
  if (bytes < 1e6) return fmt::format("{:.0f} kB", std::ceil(bytes / 1e3));
  if (bytes < 1e9) return fmt::format("{:.1f} MB", bytes / 1e6);
  if (bytes < 1e12) return fmt::format("{:.1f} GB", bytes / 1e9);
  return fmt::format("{:.1f} TB", bytes / 1e12);
}

std::string describe(const RunState& state) {
  std::string text = fmt::format("[{}/{}]", state.done, state.total);
  if (state.failed > 0) text += fmt::format(" {} failed", state.failed);
  const char* separator = " ";
  for (const auto& [gang, label] : state.running) {
    const std::string progress = progress_of(state, gang);
    text += separator + label + (progress.empty() ? "" : ": " + progress);
    separator = " | ";
  }
  const std::string end = ends_text(state);
  return end.empty() ? text : text + "; " + end;
}

std::vector<std::string> live_lines(const RunState& state, std::size_t columns) {
  const std::size_t over = state.done + state.failed + state.running.size();
  std::string head = fmt::format("[{}/{}]", state.done, state.total);
  if (state.failed > 0) head += fmt::format(" {} failed,", state.failed);
  const std::string end = ends_text(state);
  if (!end.empty()) head += " " + end + ",";
  head += fmt::format(" {} running, {} {}", state.running.size(),
                      state.total - std::min(over, state.total),
                      state.stopping ? "left for the next run" : "waiting");
  std::vector<std::string> lines = {characters(head, 0, columns)};
  for (const auto& [gang, label] : state.running) {
    std::string line = fmt::format("  gang {}: ", gang);
    const std::string progress = progress_of(state, gang);
    if (!progress.empty()) line += progress + "; ";
    const std::size_t left = columns - std::min(columns, num_characters(line));
    lines.push_back(characters(line + shortened(label, left), 0, columns));
  }
  return lines;
}

ProgressView::ProgressView(std::FILE* stream, bool quiet)
    : stream_(stream), terminal_(::isatty(::fileno(stream)) != 0), quiet_(quiet) {}

ProgressView::~ProgressView() { clear(); }

void ProgressView::line(const std::string& text, bool important) {
  if (quiet_ && !important) return;
  clear();
  say(stream_, text + "\n");
}

void ProgressView::update(const RunState& state) {
  const auto now = std::chrono::steady_clock::now();
  if (quiet_ || now - last_ < (terminal_ ? kTerminalInterval : kPlainInterval)) return;
  const bool first = last_ == std::chrono::steady_clock::time_point();
  last_ = now;
  if (!terminal_) {
    if (!first) line(describe(state));
    return;
  }
  clear();
  const TerminalSize size = terminal_size(::fileno(stream_));
  std::vector<std::string> lines = live_lines(state, size.columns - 1);
  if (lines.size() > size.rows - 1) {
    const std::size_t hidden = lines.size() - (size.rows - 2);
    lines.resize(size.rows - 2);
    lines.push_back(fmt::format("  and {} more gangs", hidden));
  }
  std::string text;
  for (const std::string& line : lines) {
    text += (text.empty() ? "" : "\n") + line;
  }
  say(stream_, text);
  shown_ = lines.size();
}

void ProgressView::clear() {
  if (shown_ == 0) return;
  std::string text = "\r\x1b[K";
  for (std::size_t line = 1; line < shown_; ++line) text += "\x1b[A\x1b[K";
  say(stream_, text);
  shown_ = 0;
}

}  // namespace assay
