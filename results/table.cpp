#include "results/table.h"

#include "core/error.h"
#include "core/statistics.h"
#include "results/protocol.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

namespace assay {
namespace {

constexpr std::array<std::pair<const char*, const char*>, 8> kMetrics = {
    {{"image", "auroc"},
     {"image", "ap"},
     {"image", "f1max"},
     {"pixel", "auroc"},
     {"pixel", "ap"},
     {"pixel", "f1max"},
     {"pixel", "aupro"},
     {"pixel", "aupro_cflow200"}}};

using Values = std::map<std::string, double>;  // By job: one a seed.

/// What is stored for one row and column.
struct Measured {
  Values values;
  std::map<std::string, std::optional<std::int64_t>> seeds;  // By job, planned ones included.
  std::string undefined_because;
  std::int64_t num_categories = 0;
  bool overlap = false;
};

// Method, preset, params, epoch of a curve.
using RowKey = std::tuple<std::string, std::string, std::string, std::optional<std::int64_t>>;

RowKey row_key(const StudyCell& cell) {
  return {cell.method, cell.preset, cell.params->dump(), cell.epoch};
}

template <typename T>
void add_once(std::vector<T>& list, const T& value) {
  if (std::ranges::find(list, value) == list.end()) list.push_back(value);
}

void set_statistics(TableCell& cell) {
  if (cell.values.empty()) return;
  cell.mean = mean(cell.values);
  cell.deviation = deviation(cell.values);
}

class TableBuilder {
 public:
  TableBuilder(const std::vector<StudyCell>& cells,
               const std::vector<MetricValue>& values,
               const TableOptions& options)
      : cells_(cells), values_(values), options_(options) {}

  Table build(const std::string& study) {
    table_.study = study;
    choose_cells();
    collect_rows();
    add_columns();
    fill_cells();
    if (!options_.curves) add_means();
    mark_best();
    note_what_is_missing();
    if (!options_.curves) add_published();
    return std::move(table_);
  }

 private:
  /// Curves are the cells of rows that have any, their last epochs included.
  void choose_cells() {
    std::set<std::tuple<std::string, std::string, std::string>> with_curves;
    for (const StudyCell& cell : cells_) {
      if (cell.for_curves()) with_curves.insert({cell.method, cell.preset, cell.params->dump()});
    }
    chosen_.reserve(cells_.size());
    for (const StudyCell& cell : cells_) {
      chosen_.push_back(options_.curves
                            ? with_curves.contains({cell.method, cell.preset, cell.params->dump()})
                            : !cell.for_curves());
    }
  }

  void collect_rows() {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const StudyCell& cell = cells_[i];
      rows_.push_back(kNoRow);
      if (!chosen_[i]) continue;
      add_once(datasets_, cell.dataset);
      add_once(eval_sizes_, cell.eval_size);
      if (const auto skipped = cell.protocol->find("skipped"); skipped != cell.protocol->end()) {
        const auto paths = skipped->get<std::vector<std::string>>();
        add_once(table_.notes,
                 fmt::format("{}: {} left out by 'skip'", cell.dataset, fmt::join(paths, ", ")));
      }
      const auto [row, is_new] = row_index_.emplace(row_key(cell), table_.rows.size());
      rows_.back() = row->second;
      if (!is_new) continue;
      table_.rows.push_back({.method = cell.method,
                             .preset = cell.preset,
                             .params = cell.params,
                             .epoch = options_.curves ? epoch_of(cell) : std::nullopt});
      for (const nlohmann::json& note : cell.protocol->value("notes", nlohmann::json::array())) {
        table_.notes.push_back(table_.rows.back().label() + ": " + note.get<std::string>());
      }
    }
    std::ranges::sort(eval_sizes_);
  }

  static std::optional<std::int64_t> epoch_of(const StudyCell& cell) {
    if (cell.epoch) return cell.epoch;
    const auto epochs = cell.protocol->find("epochs");
    if (epochs == cell.protocol->end()) return std::nullopt;
    return epochs->get<std::int64_t>();
  }

  /// Sizes that make a metric another one.
  [[nodiscard]] std::vector<std::int64_t> sizes_of(const TableMetric& metric) const {
    if (metric.level == "pixel" && eval_sizes_.size() > 1) return eval_sizes_;
    return {0};
  }

  void add_columns() {
    for (const char* level : {"image", "pixel"}) {
      for (const std::string& dataset : datasets_) {
        for (const TableMetric& metric : options_.metrics) {
          if (metric.level != level) continue;
          for (const std::int64_t size : sizes_of(metric)) {
            table_.columns.push_back({.dataset = dataset, .metric = metric, .eval_size = size});
          }
        }
      }
    }
  }

  void fill_cells() {
    num_measured_ = table_.columns.size();
    measured_.resize(table_.rows.size() * num_measured_);
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      if (rows_[i] == kNoRow) continue;
      const StudyCell& cell = cells_[i];
      for (std::size_t column = 0; column < table_.columns.size(); ++column) {
        const TableColumn& head = table_.columns[column];
        if (head.dataset != cell.dataset) continue;
        if (head.eval_size != 0 && head.eval_size != cell.eval_size) continue;
        if (!cell.level.empty() && head.metric.level != cell.level) continue;
        Measured& measured = measured_at(rows_[i], column);
        measured.seeds[cell.job] = cell.seed;
        measured.overlap = measured.overlap || cell.overlap > 0;
      }
    }
    for (const MetricValue& value : values_) take(value);
    for (std::size_t row = 0; row < table_.rows.size(); ++row) {
      table_.rows[row].cells.resize(table_.columns.size());
      for (std::size_t column = 0; column < table_.columns.size(); ++column) {
        const Measured& measured = measured_at(row, column);
        TableCell& cell = table_.rows[row].cells[column];
        for (const auto& [job, value] : measured.values) {
          cell.values.push_back(value);
          if (measured.seeds.at(job)) ++cell.num_seeds;
        }
        cell.undefined_because = measured.undefined_because;
        cell.overlap = measured.overlap;
        cell.num_categories = measured.num_categories;
        set_statistics(cell);
      }
    }
  }

  void take(const MetricValue& value) {
    if (value.row.category != options_.category) return;
    const auto position = static_cast<std::size_t>(value.position);
    if (rows_.at(position) == kNoRow) return;
    const StudyCell& cell = cells_[position];
    for (std::size_t column = 0; column < table_.columns.size(); ++column) {
      const TableColumn& head = table_.columns[column];
      if (head.dataset != value.row.dataset || head.metric.level != value.row.level ||
          head.metric.metric != value.row.metric ||
          (head.eval_size != 0 && head.eval_size != cell.eval_size)) {
        continue;
      }
      Measured& measured = measured_at(rows_[position], column);
      if (value.row.value) {
        measured.values[cell.job] = *value.row.value;
        measured.num_categories = value.row.num_categories.value_or(0);
      } else {
        measured.undefined_because = value.row.undefined_because;
      }
    }
  }

  /// The unweighted mean over data sets, seed by seed, so that its deviation is that of the mean.
  void add_means() {
    const std::size_t num_columns = table_.columns.size();
    for (const char* level : {"image", "pixel"}) {
      for (const TableMetric& metric : options_.metrics) {
        if (metric.level != level) continue;
        for (const std::int64_t size : sizes_of(metric)) {
          std::vector<std::size_t> columns;
          for (std::size_t column = 0; column < num_columns; ++column) {
            const TableColumn& head = table_.columns[column];
            if (head.metric == metric && head.eval_size == size && has_value(column)) {
              columns.push_back(column);
            }
          }
          if (columns.size() > 1)
            add_mean({.dataset = {}, .metric = metric, .eval_size = size}, columns);
        }
      }
    }
  }

  [[nodiscard]] bool has_value(std::size_t column) const {
    return std::ranges::any_of(
        table_.rows, [&](const TableRow& row) { return row.cells[column].mean.has_value(); });
  }

  void add_mean(TableColumn head, const std::vector<std::size_t>& columns) {
    head.num_datasets = static_cast<std::int64_t>(columns.size());
    for (std::size_t row = 0; row < table_.rows.size(); ++row) {
      TableCell cell;
      for (const auto& [seed, values] : values_by_seed(row, columns)) {
        if (values.size() != columns.size()) continue;  // A set is missing: no mean of the others.
        cell.values.push_back(mean(values));
        if (seed) ++cell.num_seeds;
      }
      for (const std::size_t column : columns) {
        cell.overlap = cell.overlap || table_.rows[row].cells[column].overlap;
      }
      set_statistics(cell);
      table_.rows[row].cells.push_back(std::move(cell));
    }
    table_.columns.push_back(std::move(head));
  }

  std::map<std::optional<std::int64_t>, std::vector<double>> values_by_seed(
      std::size_t row, const std::vector<std::size_t>& columns) {
    std::map<std::optional<std::int64_t>, std::vector<double>> by_seed;
    for (const std::size_t column : columns) {
      const Measured& measured = measured_at(row, column);
      for (const auto& [job, value] : measured.values) {
        by_seed[measured.seeds.at(job)].push_back(value);
      }
    }
    return by_seed;
  }

  /// By what is printed: numbers that look equal share a mark.
  void mark_best() {
    for (std::size_t column = 0; column < table_.columns.size(); ++column) {
      std::set<double> distinct;
      for (const TableRow& row : table_.rows) {
        const TableCell& cell = row.cells[column];
        if (cell.mean) distinct.insert(std::stod(percent(*cell.mean)));
      }
      if (distinct.size() < 2) continue;  // Nothing to tell apart.
      for (TableRow& row : table_.rows) {
        TableCell& cell = row.cells[column];
        if (!cell.mean) continue;
        const double printed = std::stod(percent(*cell.mean));
        cell.best = printed == *distinct.rbegin();
        cell.second = printed == *std::next(distinct.rbegin());
      }
    }
  }

  void note_what_is_missing() {
    // Metrics by data set, level and reason.
    std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::string>> undefined;
    std::vector<std::string> open;
    for (std::size_t row = 0; row < table_.rows.size(); ++row) {
      for (std::size_t column = 0; column < table_.columns.size(); ++column) {
        const TableColumn& head = table_.columns[column];
        const TableCell& cell = table_.rows[row].cells[column];
        if (!cell.undefined_because.empty()) {
          add_once(undefined[{head.dataset, head.metric.level, cell.undefined_because}],
                   metric_title(head.metric.metric));
          continue;
        }
        if (head.dataset.empty()) continue;
        const Measured& measured = measured_at(row, column);
        if (measured.values.size() == measured.seeds.size()) continue;
        add_once(open, fmt::format("{} on {}: {} of {} measured", table_.rows[row].label(),
                                   head.dataset, measured.values.size(), measured.seeds.size()));
      }
    }
    for (const auto& [key, metrics] : undefined) {
      table_.notes.push_back(fmt::format("{}: {} {} undefined ({})", std::get<0>(key),
                                         std::get<1>(key), fmt::join(metrics, ", "),
                                         std::get<2>(key)));
    }
    table_.notes.insert(table_.notes.end(), open.begin(), open.end());
  }

  void add_published() {
    std::set<std::string> shown(options_.published.begin(), options_.published.end());
    for (const StudyCell& cell : cells_) shown.insert(cell.method);
    check_published(options_.published_tables, options_.published);
    for (const PublishedTable& printed : options_.published_tables) {
      std::map<std::string, std::set<std::string>> placed;  // Data sets by method.
      for (const PublishedNumber& number : published_numbers(printed)) {
        if (shown.contains(number.method) && place(printed, number)) {
          placed[number.method].insert(number.dataset);
        }
      }
      for (const auto& [method, datasets] : placed) {
        for (std::string& line : protocol_differences(cells_, method, printed, datasets)) {
          table_.protocol.push_back(std::move(line));
        }
      }
    }
  }

  /// Puts a printed number into the row of its paper and method; false where no column wants it.
  bool place(const PublishedTable& printed, const PublishedNumber& number) {
    if (number.category != options_.category) return false;
    const auto column = printed_column(number);
    if (!column) return false;
    const std::string preset = number.variant == "default" ? "" : number.variant;
    auto row = std::ranges::find_if(table_.rows, [&](const TableRow& candidate) {
      return candidate.published_in == printed.paper && candidate.method == number.method &&
             candidate.preset == preset;
    });
    if (row == table_.rows.end()) {
      table_.rows.push_back({.method = number.method,
                             .preset = preset,
                             .published_in = printed.paper,
                             .cells = std::vector<TableCell>(table_.columns.size())});
      row = std::prev(table_.rows.end());
    }
    row->cells[*column].printed = number.value;
    return true;
  }

  /// No paper says which AUPRO it prints; their releases compute the one with 200 thresholds.
  [[nodiscard]] std::optional<std::size_t> printed_column(const PublishedNumber& number) const {
    std::vector<std::string> names = {number.metric};
    if (number.metric == "aupro") names = {"aupro_cflow200", "aupro"};
    for (const std::string& name : names) {
      for (std::size_t i = 0; i < table_.columns.size(); ++i) {
        const TableColumn& head = table_.columns[i];
        if (head.dataset == number.dataset && head.metric == TableMetric{number.level, name}) {
          return i;
        }
      }
    }
    return std::nullopt;
  }

  const std::vector<StudyCell>& cells_;
  const std::vector<MetricValue>& values_;
  const TableOptions& options_;
  Table table_;
  std::vector<std::string> datasets_;
  std::vector<std::int64_t> eval_sizes_;
  [[nodiscard]] Measured& measured_at(std::size_t row, std::size_t column) {
    return measured_.at(row * num_measured_ + column);
  }

  static constexpr auto kNoRow = static_cast<std::size_t>(-1);

  std::vector<bool> chosen_;       // By cell: whether the table has it.
  std::vector<std::size_t> rows_;  // By cell.
  std::map<RowKey, std::size_t> row_index_;
  std::size_t num_measured_ = 0;    // Columns that are no mean over data sets.
  std::vector<Measured> measured_;  // By row and column.
};

}  // namespace

std::vector<TableMetric> default_table_metrics() {
  return {{"image", "auroc"},
          {"image", "ap"},
          {"pixel", "auroc"},
          {"pixel", "aupro"},
          {"pixel", "aupro_cflow200"}};
}

TableMetric parse_table_metric(const std::string& text) {
  std::vector<std::string> known;
  for (const auto& [level, metric] : kMetrics) {
    known.push_back(std::string(level) + "." + metric);
    if (text == known.back()) return {level, metric};
  }
  throw ConfigError("'{}' is not a metric of a table; known: {}", text, fmt::join(known, ", "));
}

std::string metric_title(const std::string& metric) {
  if (metric == "auroc") return "AUROC";
  if (metric == "ap") return "AP";
  if (metric == "f1max") return "F1-max";
  if (metric == "aupro") return "AUPRO";
  if (metric == "aupro_cflow200") return "AUPRO-200";
  return metric;
}

std::string percent(double fraction) { return fmt::format("{:.1f}", 100 * fraction); }

std::string TableRow::label() const {
  std::string text = method;
  if (!preset.empty()) text += ":" + preset;
  for (const auto& [name, value] : params->items()) {
    text +=
        fmt::format(" {}={}", name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  if (epoch) text += fmt::format(" epoch {}", *epoch);
  if (!published_in.empty()) text += fmt::format(" (printed in {})", published_in);
  return text;
}

Table make_table(const std::string& study,
                 const std::vector<StudyCell>& cells,
                 const std::vector<MetricValue>& values,
                 const TableOptions& options) {
  return TableBuilder(cells, values, options).build(study);
}

}  // namespace assay
