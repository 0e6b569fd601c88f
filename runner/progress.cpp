#include "runner/progress.h"

#include <fmt/chrono.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

std::size_t terminal_width(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

void say(std::FILE* stream, std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stream) == text.size()) std::fflush(stream);
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
    const auto progress = state.progress.find(gang);
    text += separator + describe_job(label, progress == state.progress.end() ? nlohmann::json()
                                                                             : progress->second);
    separator = " | ";
  }
  if (state.remaining_seconds) {
    const std::time_t end = std::time(nullptr) + static_cast<std::time_t>(*state.remaining_seconds);
    text += fmt::format("; ends about {:%H:%M} ({})", fmt::localtime(end),
                        duration_text(*state.remaining_seconds));
  }
  return text;
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
  say(stream_, describe(state).substr(0, terminal_width(::fileno(stream_)) - 1));
  shown_ = true;
}

void ProgressView::clear() {
  if (!shown_) return;
  say(stream_, "\r\x1b[K");
  shown_ = false;
}

}  // namespace assay
