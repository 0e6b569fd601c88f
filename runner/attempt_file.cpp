#include "runner/attempt_file.h"

#include "core/file.h"
#include "core/optional_json.h"

#include <fstream>

namespace assay {
namespace {

using nlohmann::json;

constexpr const char* kName = "exit.json";

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

}  // namespace

void write_attempt_file(const Attempt& attempt, const std::filesystem::path& folder) {
  std::ofstream(folder / kName) << to_json(attempt).dump(1) << "\n";
}

std::optional<Attempt> read_attempt_file(const std::filesystem::path& folder) {
  if (!std::filesystem::is_regular_file(folder / kName)) return std::nullopt;
  const json value = json::parse(read_file(folder / kName), nullptr, /*allow_exceptions=*/false);
  try {
    return attempt_from_json(value);
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace assay
