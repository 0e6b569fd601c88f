#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// Rows of a CSV with a header line (RFC 4180), each by column name. Throws DataError where a row
/// has another number of fields than the header, or a quote is not closed; `name` is for messages.
[[nodiscard]] std::vector<std::map<std::string, std::string>> parse_csv(std::string_view text,
                                                                        std::string_view name);

/// `field` as it stands in a CSV: quoted where it must be.
[[nodiscard]] std::string csv_field(std::string_view field);

}  // namespace assay
