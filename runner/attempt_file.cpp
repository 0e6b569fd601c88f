#include "runner/attempt_file.h"

#include "core/file.h"
#include "core/optional_json.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

namespace assay {
namespace {

using nlohmann::json;

Attempt attempt_from_json(const json& value) {
  return {.job = value.at("job"),
          .number = value.at("number"),
          .gang = value.at("gang"),
          .ranks = value.at("ranks"),
          .host = value.at("host"),
          .pid = value.at("pid"),
          .started_at = value.at("started_at"),
          .ended_at = value.at("ended_at"),
          .seconds = optional_value<double>(value.at("seconds")),
          .outcome = value.at("outcome"),
          .exit_code = optional_value<std::int64_t>(value.at("exit_code")),
          .signal = optional_value<std::int64_t>(value.at("signal")),
          .message = value.at("message"),
          .log_path = value.at("log_path"),
          .cpu_capability = value.at("cpu_capability"),
          .threads = value.at("threads"),
          .environment = value.at("environment")};
}

/// Nothing where the text is torn or of an older build.
std::optional<Attempt> parse_attempt(std::string_view text) {
  try {
    return attempt_from_json(json::parse(text, nullptr, /*allow_exceptions=*/false));
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

json to_json(const Attempt& attempt) {
  return {{"job", attempt.job},
          {"number", attempt.number},
          {"gang", attempt.gang},
          {"ranks", attempt.ranks},
          {"host", attempt.host},
          {"pid", attempt.pid},
          {"started_at", attempt.started_at},
          {"ended_at", attempt.ended_at},
          {"seconds", optional_json(attempt.seconds)},
          {"outcome", attempt.outcome},
          {"exit_code", optional_json(attempt.exit_code)},
          {"signal", optional_json(attempt.signal)},
          {"message", attempt.message},
          {"log_path", attempt.log_path},
          {"cpu_capability", attempt.cpu_capability},
          {"threads", attempt.threads},
          {"environment", *attempt.environment}};
}

void AttemptsFile::append(const Attempt& attempt) {
  if (!file_) {
    std::error_code full;
    std::filesystem::create_directories(path_.parent_path(), full);
    file_ = Descriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  }
  const std::string text = fmt::format("{}{}\n", torn_ ? "\n" : "", to_json(attempt).dump());
  torn_ = ::write(file_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size());
}

Attempts read_attempts(const Workspace& workspace) {
  Attempts attempts;
  std::ifstream file(workspace.attempts());
  for (std::string line; std::getline(file, line);) {
    if (auto attempt = parse_attempt(line)) {
      attempts[attempt->job].insert_or_assign(attempt->number, std::move(*attempt));
    }
  }
  return attempts;
}

std::optional<Attempt> read_attempt_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "exit.json";
  if (!std::filesystem::is_regular_file(file)) return std::nullopt;
  return parse_attempt(read_file(file));
}

}  // namespace assay
