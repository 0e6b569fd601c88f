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

std::string describe_job(const std::string& label, const nlohmann::json& progress) {
  std::string text = label;
  if (progress.contains("total")) {
    text += fmt::format(": {} {}/{}", progress.value("unit", "step"), progress.value("done", 0L),
                        progress.value("total", 0L));
  }
  if (progress.contains("loss")) text += fmt::format(", loss {:.4g}", progress.value("loss", 0.0));
  if (progress.contains("rate")) text += fmt::format(", {:.3g}/s", progress.value("rate", 0.0));
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

/// The first `columns` characters of UTF-8.
std::string cut(const std::string& text, std::size_t columns) {
  std::size_t size = 0;
  for (std::size_t characters = 0; size < text.size(); ++size) {
    const bool starts = (static_cast<unsigned char>(text[size]) & 0xC0) != 0x80;
    if (starts && ++characters > columns) break;
  }
  return text.substr(0, size);
}

std::string ends_text(const RunState& state) {
  if (!state.remaining_seconds) return "";
  const std::time_t end = std::time(nullptr) + static_cast<std::time_t>(*state.remaining_seconds);
  return fmt::format("; ends about {:%H:%M} ({})", fmt::localtime(end),
                     duration_text(*state.remaining_seconds));
}

std::string gang_text(const RunState& state, int gang, const std::string& label) {
  const auto progress = state.progress.find(gang);
  return describe_job(label,
                      progress == state.progress.end() ? nlohmann::json() : progress->second);
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
          {"remaining_seconds", optional_json(state.remaining_seconds)},
          {"running", std::move(running)}};
}

RunState run_state_from_json(const nlohmann::json& json) {
  RunState state{.remaining_seconds = {}, .running = {}, .progress = {}};
  try {
    state.total = json.at("total");
    state.done = json.at("done");
    state.failed = json.at("failed");
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
    text += separator + gang_text(state, gang, label);
    separator = " | ";
  }
  return text + ends_text(state);
}

std::vector<std::string> live_lines(const RunState& state) {
  const std::size_t over = state.done + state.failed + state.running.size();
  std::string head = fmt::format("[{}/{}] {} running, {} waiting", state.done, state.total,
                                 state.running.size(), state.total - std::min(over, state.total));
  if (state.failed > 0) head += fmt::format(", {} failed", state.failed);
  std::vector<std::string> lines = {head + ends_text(state)};
  for (const auto& [gang, label] : state.running) {
    lines.push_back(fmt::format("  gang {}: {}", gang, gang_text(state, gang, label)));
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
  std::vector<std::string> lines = live_lines(state);
  if (lines.size() > size.rows - 1) {
    const std::size_t hidden = lines.size() - (size.rows - 2);
    lines.resize(size.rows - 2);
    lines.push_back(fmt::format("  and {} more gangs", hidden));
  }
  std::string text;
  for (const std::string& line : lines) {
    text += (text.empty() ? "" : "\n") + cut(line, size.columns - 1);
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
