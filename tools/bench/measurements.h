#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// What one bench (`exact/one`, `exact/literal`, `machine/gemm/2`) gave in one run.
struct Measurement {
  std::vector<double> seconds;  ///< Of each repetition: CPU time of one thread, wall time of more.
  int threads = 1;
  std::optional<double> units, flops, ratio;
  /// Of each repetition, over the seconds that its operations take at the GEMM rate just before and
  /// just after.
  std::vector<double> times_limit = {};

  [[nodiscard]] double best() const;
  /// The repetition that a quarter of all undercuts: undisturbed, and no lucky one. Nothing where
  /// no limit was measured.
  [[nodiscard]] std::optional<double> usual_times_limit() const;
  /// How far the median repetition is above the best, as a fraction: what others on the machine do.
  [[nodiscard]] double noise() const;
};

using Measurements = std::map<std::string, Measurement>;

/// Adds the benches of a file that Google Benchmark wrote with `--benchmark_out`. Throws DataError,
/// naming `origin`, where it is not one or a bench failed.
void add_measurements(const nlohmann::json& file,
                      const std::string& origin,
                      Measurements& measurements);

}  // namespace assay
