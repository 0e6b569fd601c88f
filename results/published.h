#pragma once

#include <map>
#include <string>
#include <vector>

namespace assay {

/// A printed table: `faprompt`, `1` or `A.4`.
struct PublishedTable {
  std::string paper = {};
  std::string table = {};
  bool operator==(const PublishedTable&) const = default;
};

/// One printed number (`results/published/README.md`).
struct PublishedNumber {
  std::string method, variant;
  std::string dataset, category;  ///< Category `mean`: the whole data set.
  std::string level, metric;
  std::string value;  ///< Percent, as printed.
};

/// How a method's numbers of a table were made, as far as the paper says.
struct PublishedProtocol {
  std::string method;
  std::string source;  ///< `own`, `retrained`, `copied from PAPER`; may be empty.
  std::string note;
  std::map<std::string, std::string> fields;  ///< By column of protocol.csv; empty: not stated.
};

/// The numbers of a table that is built in. Throws ConfigError, naming the known papers or the
/// paper's tables, where there is none.
[[nodiscard]] std::vector<PublishedNumber> published_numbers(const PublishedTable& table);

/// Throws ConfigError as above, and where none of the tables has a number of one of `methods`.
void check_published(const std::vector<PublishedTable>& tables,
                     const std::vector<std::string>& methods);

/// The protocols of a method in a table: several where its numbers come from several sources.
[[nodiscard]] std::vector<PublishedProtocol> published_protocols(const PublishedTable& table,
                                                                 const std::string& method);

}  // namespace assay
