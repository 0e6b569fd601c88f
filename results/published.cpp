#include "results/published.h"

#include "core/csv.h"
#include "core/error.h"

#include <fmt/ranges.h>

#include <set>

namespace assay {

// results/published/*.csv, made into C++ by CMake.
extern const char kPublishedResultsCsv[];
extern const char kPublishedProtocolCsv[];

namespace {

using CsvRows = std::vector<std::map<std::string, std::string>>;

const CsvRows& result_rows() {
  static const CsvRows rows = parse_csv(kPublishedResultsCsv, "results.csv");
  return rows;
}

[[noreturn]] void refuse(const PublishedTable& table) {
  std::set<std::string> papers, tables;
  for (const auto& row : result_rows()) {
    papers.insert(row.at("paper"));
    if (row.at("paper") == table.paper) tables.insert(row.at("table"));
  }
  if (tables.empty()) {
    throw ConfigError("no printed numbers of a paper '{}'; known: {}", table.paper,
                      fmt::join(papers, ", "));
  }
  throw ConfigError("no printed numbers of table '{}' of paper '{}'; its tables: {}", table.table,
                    table.paper, fmt::join(tables, ", "));
}

}  // namespace

std::vector<PublishedNumber> published_numbers(const PublishedTable& table) {
  std::vector<PublishedNumber> numbers;
  for (const auto& row : result_rows()) {
    if (row.at("paper") != table.paper || row.at("table") != table.table) continue;
    numbers.push_back({.method = row.at("method"),
                       .variant = row.at("variant"),
                       .dataset = row.at("test_dataset"),
                       .category = row.at("category"),
                       .level = row.at("level"),
                       .metric = row.at("metric"),
                       .value = row.at("value")});
  }
  if (numbers.empty()) refuse(table);
  return numbers;
}

void check_published(const std::vector<PublishedTable>& tables,
                     const std::vector<std::string>& methods) {
  std::set<std::string> printed;
  for (const PublishedTable& table : tables) {
    for (const PublishedNumber& number : published_numbers(table)) printed.insert(number.method);
  }
  for (const std::string& method : methods) {
    if (printed.contains(method)) continue;
    throw ConfigError(
        "'published' names '{}', of which the study's printed tables have no number; "
        "they have: {}",
        method, fmt::join(printed, ", "));
  }
}

std::vector<PublishedProtocol> published_protocols(const PublishedTable& table,
                                                   const std::string& method) {
  static const CsvRows rows = parse_csv(kPublishedProtocolCsv, "protocol.csv");
  std::vector<PublishedProtocol> protocols;
  for (const auto& row : rows) {
    if (row.at("paper") != table.paper || row.at("table") != table.table ||
        row.at("method") != method) {
      continue;
    }
    PublishedProtocol& protocol = protocols.emplace_back();
    protocol.method = method;
    protocol.source = row.at("source");
    protocol.note = row.at("note");
    protocol.fields = row;
    for (const char* other : {"paper", "table", "method", "source", "note"}) {
      protocol.fields.erase(other);
    }
  }
  return protocols;
}

}  // namespace assay
