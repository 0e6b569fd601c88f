#pragma once

#include "registry/method_catalogue.h"
#include "runner/study.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace assay {

/// One row of a study: a method with all its switches, on a backbone.
struct Variant {
  ResolvedMethod resolved;
  nlohmann::json params;  ///< What the sweep changed, `backbone` and sizes included.
  const BackboneDescription* backbone = nullptr;
  std::int64_t image_size = 0, eval_size = 0;  ///< Pixels.
};

/// Resolves one setting of a sweep: the setting's own backbone and sizes, else the study's for the
/// method, else the backbone's. Throws ConfigError as `resolve_method`.
[[nodiscard]] Variant resolve_variant(const Study& study,
                                      const Sweep& sweep,
                                      const Setting& setting);

/// `faprompt` of `faprompt:paper`.
[[nodiscard]] std::string method_name(const std::string& method);

/// Full name of a switch from any of its spellings, or `row`; nothing where the method has no such
/// switch.
[[nodiscard]] std::optional<std::string> switch_name(const std::string& method,
                                                     const std::string& key);

/// Checks every variant of every sweep, and what is to be profiled. Throws ConfigError with the
/// line of the axis, the sweep or the `[[profile]]`.
void check_variants(const Study& study);

}  // namespace assay
