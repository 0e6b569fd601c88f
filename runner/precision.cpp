#include "runner/precision.h"

#include "core/error.h"
#include "core/nearest_name.h"

#include <algorithm>
#include <array>

namespace assay {

void check_precision(const std::string& precision) {
  static const std::vector<std::string> kKnown = {"fp32", "tf32", "bf16"};
  if (std::ranges::find(kKnown, precision) != kKnown.end()) return;
  const std::string nearest = nearest_name(precision, kKnown);
  throw ConfigError("'precision' is '{}', expected fp32, tf32 or bf16{}", precision,
                    nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

std::string why_not(const std::string& precision, const Gpu* gpu) {
  if (precision == kDefaultPrecision) return {};
  if (gpu == nullptr) {
    return precision == "tf32"
               ? "precision tf32: a CPU has no TF32; use --device cuda, or precision "
                 "= \"fp32\" or \"bf16\""
               : "";
  }
  constexpr int kAmpere = 8;  // The first compute capability with either.
  if (gpu->major >= kAmpere) return {};
  return fmt::format(
      "precision {}: {} has compute capability {}.{}, expected 8.0 or newer; use precision = "
      "\"fp32\"",
      precision, gpu->name, gpu->major, gpu->minor);
}

}  // namespace assay
