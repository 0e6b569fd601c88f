#pragma once

#include "evaluator/metrics.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// What an evaluate job says of one category.
struct CategoryResult {
  std::string category;
  ImageMetrics image;
  PixelMetrics pixel;
  std::int64_t num_images = 0;
  /// Anomalous images whose mask is empty at the evaluation size: their pixels count as normal.
  std::int64_t num_empty_masks = 0;
  bool operator==(const CategoryResult&) const = default;
};

/// Undefined is null; numbers keep their bits.
[[nodiscard]] nlohmann::json to_json(const CategoryResult& result);
/// The inverse. Throws nlohmann::json::exception on another layout.
[[nodiscard]] CategoryResult category_result_from_json(const nlohmann::json& json);

/// One number of a category.
struct CategoryMetric {
  std::string level;   ///< `image` or `pixel`.
  std::string metric;  ///< `auroc`, `ap`, `f1max`, `aupro`, `aupro_cflow200`.
  std::optional<double> value;
  std::string undefined_because;                   ///< Empty exactly where there is a value.
  std::int64_t num_normal = 0, num_anomalous = 0;  ///< Images or pixels, as the level says.
  std::optional<std::int64_t> num_regions;         ///< Of pixel metrics.
};

/// All numbers of a category, in a fixed order; cflow200 only where it was asked for.
[[nodiscard]] std::vector<CategoryMetric> metrics_of_category(const CategoryResult& result);

/// A warning where more than half of the categories with an AUROC of a level lie below 0.5, with
/// `checkpoint` in it; else empty. Values themselves are never flipped.
[[nodiscard]] std::string inversion_warning(std::span<const CategoryResult> results,
                                            const std::string& checkpoint);

}  // namespace assay
