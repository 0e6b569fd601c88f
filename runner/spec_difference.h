#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace assay {

/// A field in which two jobs' specs differ: null where one has none.
struct SpecDifference {
  std::string field;  ///< `switches.cap.K`, `encoder.features.layers.0`
  nlohmann::json here, there;
  bool operator==(const SpecDifference&) const = default;
};

/// All of them, in the order of the fields' names.
[[nodiscard]] std::vector<SpecDifference> spec_differences(const nlohmann::json& here,
                                                           const nlohmann::json& there);

}  // namespace assay
