#include "results/cost_table.h"

#include "core/csv.h"
#include "core/error.h"
#include "results/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace assay {
namespace {

using nlohmann::json;

/// A figure and how a column shows it: with which unit and how many digits.
struct Figure {
  const char* name;
  const char* title;  ///< `{}`: the phase, or the batch of a training step.
  int digits;
};

/// In the order of the columns.
constexpr Figure kFigures[] = {{"params_published", "params as published", 0},
                               {"params_trained", "trained", 0},
                               {"train_ms_per_batch", "train ms/batch of {}", 2},
                               {"infer_ms_per_image", "infer ms/image", 2},
                               {"fps", "images/s", 1},
                               {"encode_ms", "encode ms", 2},
                               {"decode_ms", "decode ms", 2},
                               {"preprocess_ms", "preprocess ms", 2},
                               {"copy_ms", "copy ms", 2},
                               {"smooth_ms", "smooth ms", 2},
                               {"metric_ms", "metric ms", 2},
                               {"peak_gb", "{} peak GB", 3}};

std::string title_of(const Figure& figure, const json& spec) {
  std::string title = figure.title;
  const std::size_t hole = title.find("{}");
  if (hole == std::string::npos) return title;
  const bool of_batch = title.starts_with("train ms");
  return title.replace(hole, 2,
                       of_batch ? spec.at("batch").dump() : spec.at("phase").get<std::string>());
}

/// `12.30 ± 0.45`
std::string text_of(const Figure& figure, const json& figures) {
  const double value = figures.at(figure.name);
  std::string text = fmt::format("{:.{}f}", value, figure.digits);
  const auto spread = figures.find(std::string(figure.name) + "_deviation");
  if (spread != figures.end()) {
    text += fmt::format(" ± {:.{}f}", spread->get<double>(), figure.digits);
  }
  return text;
}

std::string machine_of(const CostRecord& record) {
  const auto threads = record.result.at("threads").get<std::int64_t>();
  return fmt::format("{}, {} thread{}, host {}; {}", record.spec.at("device").get<std::string>(),
                     threads, threads == 1 ? "" : "s", record.spec.at("host").get<std::string>(),
                     record.spec.at("build").get<std::string>());
}

CostTable::Row& row_of(const CostRecord& record, CostTable& table) {
  const std::string method = record.spec.at("method"), preset = record.result.at("preset"),
                    form = record.spec.at("form");
  for (CostTable::Row& row : table.rows) {
    if (row.method == method && row.preset == preset && row.form == form) return row;
  }
  return table.rows.emplace_back(CostTable::Row{.method = method, .preset = preset, .form = form});
}

void add(const CostRecord& record, CostTable& table) {
  CostTable::Row& row = row_of(record, table);
  const json& figures = record.result.at("figures");
  for (const Figure& figure : kFigures) {
    if (!figures.contains(figure.name)) continue;
    row.cells[title_of(figure, record.spec)] = text_of(figure, figures);
  }
}

/// Every title that a record has, in the order of the figures; those of training first.
std::vector<std::string> titles_of(const std::vector<CostRecord>& records) {
  std::vector<std::string> titles;
  for (const Figure& figure : kFigures) {
    for (const char* phase : {"train", "infer"}) {
      for (const CostRecord& record : records) {
        if (record.spec.at("phase") != phase) continue;
        if (!record.result.at("figures").contains(figure.name)) continue;
        const std::string title = title_of(figure, record.spec);
        if (std::ranges::count(titles, title) == 0) titles.push_back(title);
      }
    }
  }
  return titles;
}

std::string caption(const CostTable& table) {
  return fmt::format("{}: cost on {}", table.study, table.machine);
}

/// Heads, then rows; a column of text is aligned to the left, numbers to the right.
using Grid = std::vector<std::vector<std::string>>;
constexpr std::size_t kTextColumns = 2;

Grid grid_of(const CostTable& table, const char* dash) {
  Grid grid = {{"method", "form"}};
  grid[0].insert(grid[0].end(), table.columns.begin(), table.columns.end());
  for (const CostTable::Row& row : table.rows) {
    std::vector<std::string> cells = {row.method + ":" + row.preset, row.form};
    for (const std::string& column : table.columns) {
      const auto cell = row.cells.find(column);
      cells.push_back(cell == row.cells.end() ? dash : cell->second);
    }
    grid.push_back(std::move(cells));
  }
  return grid;
}

}  // namespace

CostTable make_cost_table(const std::string& study, std::vector<CostRecord> records) {
  CostTable table{.study = study, .machine = {}};
  if (records.empty()) return table;
  try {
    table.machine = machine_of(records.front());
    for (const CostRecord& record : records) add(record, table);
    table.columns = titles_of(records);
    const json& first = records.front().spec;
    table.notes = {fmt::format(
        "mean ± sample deviation of single steps and images; first images of {}, {} px, {}",
        first.at("part").at("dataset").get<std::string>(),
        first.at("encoder").at("features").at("image_size").dump(),
        first.at("encoder").at("features").at("backbone").get<std::string>())};
    if (std::ranges::any_of(records, [](const CostRecord& record) {
          return record.spec.at("device") == "cpu" &&
                 record.result.at("figures").contains("peak_gb");
        })) {
      table.notes.emplace_back(
          "peak GB of a CPU: by how much the resident memory grew, the weights not included");
    }
  } catch (const json::exception& error) {
    throw StoreError("a result of a profile job cannot be read: {}; run it again", error.what());
  }
  table.records = std::move(records);
  return table;
}

std::string to_terminal(const CostTable& table) {
  if (table.rows.empty()) return {};
  const Grid grid = grid_of(table, "-");
  std::vector<std::size_t> widths(grid[0].size());
  for (const auto& row : grid) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text = caption(table) + "\n";
  for (const auto& row : grid) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += i < kTextColumns ? pad_right(row[i], widths[i]) : pad_left(row[i], widths[i]);
    }
    text += line + "\n";
  }
  for (const std::string& note : table.notes) text += "note: " + note + "\n";
  return text;
}

std::string to_markdown(const CostTable& table) {
  if (table.rows.empty()) return {};
  std::string text = escape_markdown(caption(table)) + "\n\n";
  for (const auto& row : grid_of(table, "-")) {
    text += "|";
    for (const std::string& cell : row) text += " " + escape_markdown(cell) + " |";
    text += "\n";
    if (row[0] != "method") continue;
    text += "|";
    for (std::size_t i = 0; i < row.size(); ++i) text += i < kTextColumns ? "---|" : "---:|";
    text += "\n";
  }
  text += "\n";
  for (const std::string& note : table.notes) text += "* " + escape_markdown(note) + "\n";
  return text;
}

std::string to_latex(const CostTable& table) {
  if (table.rows.empty()) return {};
  std::string text = fmt::format(
      "\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\begin{{tabular}}{{ll{}}}\n\\toprule\n",
      escape_latex(caption(table)), std::string(table.columns.size(), 'r'));
  for (const auto& row : grid_of(table, "--")) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += (i > 0 ? " & " : "") + escape_latex(row[i]);
    }
    text += row[0] == "method" ? " \\\\\n\\midrule\n" : " \\\\\n";
  }
  text += "\\bottomrule\n\\end{tabular}\n";
  for (const std::string& note : table.notes) {
    text += "\\par\\footnotesize " + escape_latex(note) + "\n";
  }
  return text + "\\end{table}\n";
}

std::string csv_lines(const CostTable& table) {
  std::string text;
  for (const CostRecord& record : table.records) {
    const json& figures = record.result.at("figures");
    json measured;
    for (const char* key : {"phase", "form", "batch", "device", "host"}) {
      measured[key] = record.spec.at(key);
    }
    for (const auto& [name, value] : figures.items()) {
      if (name.ends_with("_deviation")) continue;
      const auto spread = figures.find(name + "_deviation");
      text += fmt::format("{},{},{},{},,{},cost,{},,{},{},0,1,false,,,\n", csv_field(table.study),
                          csv_field(record.spec.at("method").get<std::string>()),
                          csv_field(record.result.at("preset").get<std::string>()),
                          csv_field(measured.dump()),
                          csv_field(record.spec.at("part").at("dataset").get<std::string>()), name,
                          value.dump(), spread == figures.end() ? "" : spread->dump());
    }
  }
  return text;
}

json to_json(const CostTable& table) {
  json all = json::array();
  for (const CostRecord& record : table.records) {
    json one = record.result;
    for (const char* key :
         {"method", "phase", "form", "batch", "steps", "warmup", "device", "host", "build"}) {
      one[key] = record.spec.at(key);
    }
    one.erase("spec");
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace assay
