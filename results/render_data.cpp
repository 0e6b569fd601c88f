#include "core/csv.h"
#include "results/render.h"

#include <fmt/format.h>

namespace assay {
namespace {

using nlohmann::json;

template <typename T>
json optional_json(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

std::string optional_text(const std::optional<double>& value) {
  return value ? json(*value).dump() : "";  // The shortest digits that read back.
}

json cell_json(const TableColumn& column, const TableCell& cell) {
  json result = {{"dataset", column.dataset},
                 {"level", column.metric.level},
                 {"metric", column.metric.metric},
                 {"mean", optional_json(cell.mean)},
                 {"deviation", optional_json(cell.deviation)},
                 {"values", cell.values},
                 {"num_seeds", cell.num_seeds},
                 {"num_categories", cell.num_categories},
                 {"undefined_because", cell.undefined_because},
                 {"overlap", cell.overlap},
                 {"best", cell.best},
                 {"second", cell.second}};
  if (column.eval_size != 0) result["eval_size"] = column.eval_size;
  if (column.dataset.empty()) result["num_datasets"] = column.num_datasets;
  if (!cell.printed.empty()) result["printed_percent"] = cell.printed;
  return result;
}

}  // namespace

json to_json(const Table& table) {
  json rows = json::array();
  for (const TableRow& row : table.rows) {
    json cells = json::array();
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      cells.push_back(cell_json(table.columns[i], row.cells[i]));
    }
    rows.push_back({{"method", row.method},
                    {"preset", row.preset},
                    {"params", *row.params},
                    {"epoch", row.epoch ? json(*row.epoch) : json()},
                    {"published_in", row.published_in},
                    {"cells", std::move(cells)}});
  }
  return {{"study", table.study},
          {"protocol", table.protocol},
          {"notes", table.notes},
          {"rows", std::move(rows)}};
}

std::string to_csv(const Table& table) {
  std::string text =
      "study,method,preset,params,published_in,dataset,level,metric,eval_size,mean,deviation,"
      "num_seeds,num_datasets,overlap,undefined_because,printed_percent,epoch\n";
  for (const TableRow& row : table.rows) {
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const TableColumn& column = table.columns[i];
      const TableCell& cell = row.cells[i];
      const std::string size = column.eval_size == 0 ? "" : std::to_string(column.eval_size);
      const std::string sets = column.dataset.empty() ? std::to_string(column.num_datasets) : "1";
      text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
                          csv_field(table.study), csv_field(row.method), csv_field(row.preset),
                          csv_field(row.params->dump()), csv_field(row.published_in),
                          csv_field(column.dataset.empty() ? "mean" : column.dataset),
                          column.metric.level, column.metric.metric, size, optional_text(cell.mean),
                          optional_text(cell.deviation), cell.num_seeds, sets,
                          cell.overlap ? "true" : "false", csv_field(cell.undefined_because),
                          cell.printed, row.epoch ? std::to_string(*row.epoch) : "");
    }
  }
  return text;
}

}  // namespace assay
