#pragma once

#include "tools/bench/figures.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace assay {

/// A run of tools/bench.sh: `machine` says on what (`cpu`, `cores`, `load`, `commit`, ...).
[[nodiscard]] nlohmann::json bench_result(const nlohmann::json& machine,
                                          const MachineRates& rates,
                                          const std::vector<Figure>& figures);

/// The table for people, from a result.
[[nodiscard]] std::string bench_table(const nlohmann::json& result);

/// What changed between two results, and whether something got worse beyond noise.
///
/// Figures that have a literal computation are compared by their ratio to it, so that two machines
/// may differ; the others by their value. A change is beyond noise where it is above 5 % and above
/// the noise of both runs together. Throws DataError where a file is no result of this version.
struct Comparison {
  std::string table;
  std::vector<std::string> worse;  ///< Names of figures.
};
[[nodiscard]] Comparison compare_results(const nlohmann::json& old_result,
                                         const nlohmann::json& new_result);

}  // namespace assay
