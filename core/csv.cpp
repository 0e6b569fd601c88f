#include "core/csv.h"

#include "core/error.h"

namespace assay {
namespace {

/// Takes one line's fields off the front of `text`; a quoted field may hold line ends.
std::vector<std::string> take_line(std::string_view& text, std::string_view name) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        fields.back() += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        fields.back() += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '\n') {
      break;
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  if (quoted) throw DataError("{}: a quote is not closed", name);
  text.remove_prefix(std::min(i + 1, text.size()));
  return fields;
}

}  // namespace

std::vector<std::map<std::string, std::string>> parse_csv(std::string_view text,
                                                          std::string_view name) {
  const std::vector<std::string> header = take_line(text, name);
  std::vector<std::map<std::string, std::string>> rows;
  while (!text.empty()) {
    const std::vector<std::string> fields = take_line(text, name);
    if (fields.size() != header.size()) {
      throw DataError("{}: row {} has {} fields, expected {}", name, rows.size() + 2, fields.size(),
                      header.size());
    }
    auto& row = rows.emplace_back();
    for (std::size_t i = 0; i < header.size(); ++i) row[header[i]] = fields[i];
  }
  return rows;
}

std::string csv_field(std::string_view field) {
  if (field.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(field);
  std::string quoted = "\"";
  for (const char c : field) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace assay
