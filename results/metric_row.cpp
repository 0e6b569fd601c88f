#include "results/metric_row.h"

#include "core/error.h"
#include "core/optional_json.h"

#include <nlohmann/json.hpp>

#include <map>
#include <tuple>

namespace assay {
namespace {

using nlohmann::json;

/// Unweighted, of what is defined (`spec/metrics.md` 1).
MetricRow mean_row(const std::vector<const MetricRow*>& rows) {
  MetricRow mean{.dataset = rows.front()->dataset,
                 .category = "mean",
                 .level = rows.front()->level,
                 .metric = rows.front()->metric,
                 .value = {},
                 .undefined_because = {},
                 .num_normal = {},
                 .num_anomalous = {},
                 .num_regions = {},
                 .num_categories = 0};
  double sum = 0;
  for (const MetricRow* row : rows) {
    if (!row->value) continue;
    sum += *row->value;
    ++*mean.num_categories;
  }
  if (*mean.num_categories > 0) {
    mean.value = sum / static_cast<double>(*mean.num_categories);
  } else {
    mean.undefined_because = rows.front()->undefined_because;
  }
  return mean;
}

}  // namespace

json to_json(const MetricRow& row) {
  return {{"dataset", row.dataset},
          {"category", row.category},
          {"level", row.level},
          {"metric", row.metric},
          {"value", optional_json(row.value)},
          {"undefined_because", row.undefined_because},
          {"num_normal", optional_json(row.num_normal)},
          {"num_anomalous", optional_json(row.num_anomalous)},
          {"num_regions", optional_json(row.num_regions)},
          {"num_categories", optional_json(row.num_categories)}};
}

MetricRow metric_row_from_json(const json& value) {
  try {
    return {.dataset = value.at("dataset"),
            .category = value.at("category"),
            .level = value.at("level"),
            .metric = value.at("metric"),
            .value = optional_value<double>(value.at("value")),
            .undefined_because = value.at("undefined_because"),
            .num_normal = optional_value<std::int64_t>(value.at("num_normal")),
            .num_anomalous = optional_value<std::int64_t>(value.at("num_anomalous")),
            .num_regions = optional_value<std::int64_t>(value.at("num_regions")),
            .num_categories = optional_value<std::int64_t>(value.at("num_categories"))};
  } catch (const json::exception& error) {
    throw StoreError("a metric of result.json cannot be read: {}; run the job again", error.what());
  }
}

std::vector<MetricRow> with_dataset_means(std::vector<MetricRow> categories) {
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<const MetricRow*>> groups;
  for (const MetricRow& row : categories) {
    groups[{row.dataset, row.level, row.metric}].push_back(&row);
  }
  std::vector<MetricRow> means;
  for (const auto& [key, rows] : groups) means.push_back(mean_row(rows));
  categories.insert(categories.end(), means.begin(), means.end());
  return categories;
}

}  // namespace assay
