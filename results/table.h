#pragma once

#include "results/published.h"
#include "results/store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace assay {

/// A metric at a level: `pixel`, `aupro`.
struct TableMetric {
  std::string level, metric;
  bool operator==(const TableMetric&) const = default;
};

/// The papers' pairs, image (AUROC, AP) and pixel (AUROC, AUPRO), and the papers' own AUPRO.
[[nodiscard]] std::vector<TableMetric> default_table_metrics();
/// `image.auroc`, ... Throws ConfigError, naming the known ones, where `text` is none.
[[nodiscard]] TableMetric parse_table_metric(const std::string& text);

struct TableOptions {
  std::vector<TableMetric> metrics = default_table_metrics();
  std::string category = "mean";  ///< Or one category of each data set.
  std::vector<PublishedTable> published_tables = {};
  std::vector<std::string> published = {};  ///< Methods that are shown though the study has none.
  /// What is evaluated for curves instead of the table proper: each epoch a row, auxiliary sets as
  /// data sets too.
  bool curves = false;
};

struct TableColumn {
  std::string dataset;  ///< Empty: the mean over data sets.
  TableMetric metric;
  std::int64_t eval_size = 0;     ///< Pixels; of pixel metrics, where the table has several.
  std::int64_t num_datasets = 0;  ///< In a mean over data sets.
};

/// One number of a table: fractions, rounded where they are printed and nowhere before.
struct TableCell {
  std::vector<double> values = {};       ///< One a seed, in the order of the study.
  std::optional<double> mean = {};       ///< Nothing: undefined or not measured.
  std::optional<double> deviation = {};  ///< Sample deviation (n - 1); nothing with one value.
  std::int64_t num_seeds = 0;            ///< Trained and measured; 0 where nothing is trained.
  std::int64_t num_categories = 0;       ///< In a data set's mean.
  std::string undefined_because = {};
  bool overlap = false;               ///< Training images are in the target.
  bool best = false, second = false;  ///< Among our rows, as printed: ties share a mark.
  std::string printed = {};           ///< A paper's number, in percent.
};

struct TableRow {
  std::string method, preset;
  SharedJson params = {};
  std::string published_in = {};  ///< `faprompt`: a row of printed numbers; empty: measured here.
  std::optional<std::int64_t> epoch = {};  ///< Of a curve.
  std::vector<TableCell> cells = {};

  /// `faprompt:paper cap.K=5`; for printed numbers `faprompt (printed in faprompt)`.
  [[nodiscard]] std::string label() const;
};

/// Methods x data sets, from stored numbers.
struct Table {
  std::string study;
  std::vector<TableColumn> columns = {};
  std::vector<TableRow> rows = {};
  std::vector<std::string> protocol = {};  ///< Differences to printed numbers: read these first.
  std::vector<std::string> notes = {};
};

/// `cells` and `values` are the store's for one study. Throws ConfigError as `check_published`.
[[nodiscard]] Table make_table(const std::string& study,
                               const std::vector<StudyCell>& cells,
                               const std::vector<MetricValue>& values,
                               const TableOptions& options = {});

/// `AUROC`, `F1-max`, `AUPRO`, `AUPRO-200`.
[[nodiscard]] std::string metric_title(const std::string& metric);

/// A fraction as percent with one decimal: what is printed, and what is compared for marks.
[[nodiscard]] std::string percent(double fraction);

}  // namespace assay
