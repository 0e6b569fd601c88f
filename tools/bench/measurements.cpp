#include "tools/bench/measurements.h"

#include "core/error.h"

#include <algorithm>

namespace assay {
namespace {

double seconds_of(const nlohmann::json& run, const char* clock) {
  static const std::map<std::string, double> kUnits = {
      {"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}};
  return run.at(clock).get<double>() * kUnits.at(run.at("time_unit").get<std::string>());
}

}  // namespace

double Measurement::best() const { return *std::ranges::min_element(seconds); }

std::optional<double> Measurement::usual_times_limit() const {
  if (times_limit.empty()) return std::nullopt;
  std::vector<double> sorted = times_limit;
  std::ranges::sort(sorted);
  return sorted[sorted.size() / 4];
}

double Measurement::noise() const {
  std::vector<double> sorted = seconds;
  std::ranges::sort(sorted);
  return sorted[sorted.size() / 2] / sorted.front() - 1;
}

void add_measurements(const nlohmann::json& file,
                      const std::string& origin,
                      Measurements& measurements) {
  try {
    for (const auto& run : file.at("benchmarks")) {
      if (run.at("run_type") != "iteration") continue;  // Means and deviations.
      const auto whole = run.at("run_name").get<std::string>();
      const std::string name = whole.substr(0, whole.find("/iterations:"));
      if (run.value("error_occurred", false)) {
        throw DataError("{}: bench '{}' failed: {}", origin, name,
                        run.value("error_message", std::string("no reason given")));
      }
      Measurement& measurement = measurements[name];
      measurement.threads = static_cast<int>(run.value("threads", 1.0));
      measurement.seconds.push_back(
          seconds_of(run, measurement.threads > 1 ? "real_time" : "cpu_time"));
      const auto counter = [&](const char* key, std::optional<double>& value) {
        if (!run.contains(key)) return;
        const auto now = run.at(key).get<double>();
        value = value ? std::min(*value, now) : now;
      };
      counter("units", measurement.units);
      counter("flops", measurement.flops);
      counter("ratio", measurement.ratio);
      if (run.contains("limit_seconds")) {
        measurement.times_limit.push_back(measurement.seconds.back() /
                                          run.at("limit_seconds").get<double>());
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError("{}: not a file of Google Benchmark ({}); run tools/bench.sh again", origin,
                    error.what());
  }
}

}  // namespace assay
