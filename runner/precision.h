#pragma once

#include "core/gpu.h"

#include <string>

namespace assay {

/// In what products of matrices are computed; everything else is float32, sums of losses float64.
///
///   fp32   IEEE single precision
///   tf32   a GPU's tensor cores round factors to 10 bits of mantissa, sums are float32
///   bf16   factors and results of the towers' blocks are bfloat16 (Clip::move_to)
inline constexpr const char* kDefaultPrecision = "fp32";

/// Throws ConfigError unless `precision` is one of the three.
void check_precision(const std::string& precision);

/// Why a device cannot compute in `precision`, and what to do; empty where it can. `gpu` null: a
/// CPU.
[[nodiscard]] std::string why_not(const std::string& precision, const Gpu* gpu);

}  // namespace assay
