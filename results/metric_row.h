#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace assay {

/// One number of one evaluate job: a row of the store's table `metrics`, an entry of result.json.
struct MetricRow {
  std::string dataset;
  std::string category;           ///< `mean`: over the data set's categories.
  std::string level;              ///< `image` or `pixel`.
  std::string metric;             ///< `auroc`, `ap`, `f1max`, `aupro`, `aupro_cflow200`.
  std::optional<double> value;    ///< Fraction in [0, 1]; nothing where undefined.
  std::string undefined_because;  ///< `no_normals`, `no_masks`, ...; empty where defined.
  std::optional<std::int64_t> num_normal, num_anomalous, num_regions;  ///< Images or pixels.
  std::optional<std::int64_t> num_categories;  ///< Of a mean: how many categories are in it.
  bool operator==(const MetricRow&) const = default;
};

[[nodiscard]] nlohmann::json to_json(const MetricRow& row);
/// The inverse. Throws StoreError where a field is missing or of another type.
[[nodiscard]] MetricRow metric_row_from_json(const nlohmann::json& json);

/// `categories` and behind them one row `mean` for each data set, level and metric: the unweighted
/// mean of the unrounded values over the categories where it is defined, with their number
/// (`spec/metrics.md` 1). Where none is, the mean is undefined for the same reason.
[[nodiscard]] std::vector<MetricRow> with_dataset_means(std::vector<MetricRow> categories);

}  // namespace assay
