#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

namespace assay {

/// A profile job that is done: its spec and its result.json.
struct CostRecord {
  nlohmann::json spec, result;
};

/// What methods cost on one machine (`spec/ablations.md` 5.1): a row each method and form.
struct CostTable {
  struct Row {
    std::string method, preset, form;
    std::map<std::string, std::string> cells = {};  ///< By column; what was not measured is absent.
  };
  std::string study;
  std::string machine;                    ///< Device, threads, host, build.
  std::vector<std::string> columns = {};  ///< Titles with their units.
  std::vector<Row> rows = {};
  std::vector<std::string> notes = {};
  std::vector<CostRecord> records = {};
};

/// `records` in the order in which rows are to stand; of one machine. Throws StoreError where one
/// is no result of a profile job.
[[nodiscard]] CostTable make_cost_table(const std::string& study, std::vector<CostRecord> records);

// As the other tables (results/render.h); empty where nothing was measured.
[[nodiscard]] std::string to_terminal(const CostTable& table);
[[nodiscard]] std::string to_markdown(const CostTable& table);
[[nodiscard]] std::string to_latex(const CostTable& table);
/// Lines below those of `to_csv(Table)`: level `cost`, the metric is the figure, `params` what was
/// measured.
[[nodiscard]] std::string csv_lines(const CostTable& table);
[[nodiscard]] nlohmann::json to_json(const CostTable& table);

}  // namespace assay
