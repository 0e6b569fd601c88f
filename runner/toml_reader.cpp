#include "runner/toml_reader.h"

#include "core/nearest_name.h"

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

using Kind = TomlNode::Kind;

std::int64_t line_of(const toml::node& node) { return node.source().begin.line; }

[[noreturn]] void refuse(const std::string& file, const toml::node& node, std::string_view what) {
  throw ConfigError("{}:{}: {}", file, line_of(node), what);
}

using File = std::shared_ptr<const std::string>;

TomlNode convert(const toml::node& node, const File& file) {
  TomlNode result;
  result.file = file;
  result.line = line_of(node);
  if (const toml::table* table = node.as_table()) {
    result.kind = Kind::kTable;
    for (const auto& [key, value] : *table) {
      result.entries.emplace_back(std::string(key.str()), convert(value, file));
      result.entries.back().second.line = key.source().begin.line;
    }
    // toml++ sorts by name; a grid's order is the author's.
    std::vector<toml::source_position> places;
    for (const auto& [key, value] : *table) places.push_back(key.source().begin);
    std::vector<std::size_t> order(places.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(
        order, {}, [&](std::size_t i) { return std::pair(places[i].line, places[i].column); });
    decltype(result.entries) sorted;
    for (const std::size_t i : order) sorted.push_back(std::move(result.entries[i]));
    result.entries = std::move(sorted);
  } else if (const toml::array* array = node.as_array()) {
    result.kind = Kind::kArray;
    for (const toml::node& item : *array) result.items.push_back(convert(item, file));
  } else if (const auto* boolean = node.as_boolean()) {
    result.kind = Kind::kBool;
    result.scalar = boolean->get();
  } else if (const auto* integer = node.as_integer()) {
    result.kind = Kind::kInteger;
    result.scalar = integer->get();
  } else if (const auto* real = node.as_floating_point()) {
    if (!std::isfinite(real->get())) refuse(*file, node, "NaN and infinity have no use in a study");
    result.kind = Kind::kFloat;
    result.scalar = real->get();
  } else if (const auto* string = node.as_string()) {
    result.kind = Kind::kString;
    result.scalar = string->get();
  } else {
    refuse(*file, node, "dates and times have no use in a study");
  }
  return result;
}

template <typename T>
std::string range_text(Range<T> range) {
  const Range<T> all;
  if (range.minimum != all.minimum && range.maximum != all.maximum) {
    return fmt::format(" in [{}, {}]", range.minimum, range.maximum);
  }
  if (range.minimum != all.minimum) return fmt::format(" of at least {}", range.minimum);
  if (range.maximum == all.maximum) return "";
  return fmt::format(" of at most {}", range.maximum);
}

template <typename T>
void check_range(const std::string& place, const std::string& key, T value, Range<T> range) {
  if (value >= range.minimum && value <= range.maximum) return;
  throw ConfigError("{}: '{}' is {}, expected a number{}", place, key, value, range_text(range));
}

}  // namespace

const TomlNode* TomlNode::find(std::string_view key) const {
  const auto entry = std::ranges::find(entries, key, &std::pair<std::string, TomlNode>::first);
  return entry == entries.end() ? nullptr : &entry->second;
}

std::string TomlNode::place() const {
  return file ? fmt::format("{}:{}", *file, line) : "command line";
}

TomlNode parse_toml(const std::string& text, const std::string& file) {
  constexpr Range<std::int64_t> all;
  try {
    return convert(toml::parse(text, file), std::make_shared<const std::string>(file));
  } catch (const toml::parse_error& error) {
    const bool too_large = error.description().find("representable") != std::string_view::npos;
    throw ConfigError("{}:{}: not TOML: {}{}", file, error.source().begin.line, error.description(),
                      too_large ? fmt::format("; expected an integer in [{}, {}], as a seed in [0, "
                                              "{}]",
                                              all.minimum, all.maximum, all.maximum)
                                : "");
  }
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kBool: return "true or false";
    case Kind::kInteger: return "an integer";
    case Kind::kFloat: return "a number with a fraction";
    case Kind::kString: return "a string";
    case Kind::kArray: return "a list";
    case Kind::kTable: return "a table";
  }
  return "";
}

nlohmann::json toml_to_json(const TomlNode& node) {
  if (node.kind == Kind::kArray) {
    nlohmann::json list = nlohmann::json::array();
    for (const TomlNode& item : node.items) list.push_back(toml_to_json(item));
    return list;
  }
  if (node.kind == Kind::kTable) {
    nlohmann::json object = nlohmann::json::object();
    for (const auto& [key, value] : node.entries) object[key] = toml_to_json(value);
    return object;
  }
  return node.scalar;
}

TomlReader::TomlReader(const TomlNode& table, std::string where)
    : table_(table), where_(std::move(where)) {
  if (table.kind != Kind::kTable) {
    throw ConfigError("{}: expected a table for {}, found {}", table.place(), where_,
                      kind_name(table.kind));
  }
}

const TomlNode* TomlReader::find(const std::string& key) {
  known_.push_back(key);
  return table_.find(key);
}

const TomlNode& TomlReader::require(const std::string& key) {
  const TomlNode* node = find(key);
  if (node != nullptr) return *node;
  // A slip of the hand explains the missing key better than its absence does.
  const std::vector<std::string> missing = {key};
  for (const auto& [other, value] : table_.entries) {
    if (std::ranges::find(known_, other) == known_.end() && !nearest_name(other, missing).empty()) {
      throw ConfigError("{}: '{}' is not a key of {}; did you mean '{}'?", value.place(), other,
                        where_, key);
    }
  }
  throw ConfigError("{}: {} has no '{}'", table_.place(), where_, key);
}

std::vector<TomlReader> TomlReader::tables(const std::string& key) {
  std::vector<TomlReader> readers;
  const TomlNode* node = find(key);
  if (node == nullptr) return readers;
  const std::string name = "[[" + key + "]]";
  if (node->kind != Kind::kArray) {
    throw ConfigError("{}: '{}' is {}, expected tables {}", node->place(), key,
                      kind_name(node->kind), name);
  }
  for (const TomlNode& item : node->items) readers.emplace_back(item, name);
  return readers;
}

void TomlReader::reject_unread() const {
  for (const auto& [key, node] : table_.entries) {
    if (std::ranges::find(known_, key) == known_.end()) unknown(key, node);
  }
}

void TomlReader::unknown(const std::string& key, const TomlNode& node) const {
  const std::string near = nearest_name(key, known_);
  if (!near.empty()) {
    throw ConfigError("{}: '{}' is not a key of {}; did you mean '{}'?", node.place(), key, where_,
                      near);
  }
  std::vector<std::string> known = known_;
  std::ranges::sort(known);
  throw ConfigError("{}: '{}' is not a key of {}; known: {}", node.place(), key, where_,
                    fmt::join(known, ", "));
}

void TomlReader::wrong_type(const TomlNode& node,
                            const std::string& key,
                            std::string_view expected) const {
  throw ConfigError("{}: '{}' is {}, expected {}", node.place(), key, kind_name(node.kind),
                    expected);
}

void TomlReader::expect_array(const TomlNode& node, const std::string& key) const {
  if (node.kind != Kind::kArray) wrong_type(node, key, "a list");
  if (node.items.empty()) throw ConfigError("{}: '{}' is an empty list", node.place(), key);
}

void TomlReader::read(const TomlNode& node,
                      const std::string& key,
                      bool& value,
                      Range<bool> /*range*/) const {
  if (node.kind != Kind::kBool) wrong_type(node, key, "true or false");
  value = node.scalar.get<bool>();
}

void TomlReader::read(const TomlNode& node,
                      const std::string& key,
                      std::int64_t& value,
                      Range<std::int64_t> range) const {
  if (node.kind != Kind::kInteger) wrong_type(node, key, "an integer" + range_text(range));
  value = node.scalar.get<std::int64_t>();
  check_range(node.place(), key, value, range);
}

void TomlReader::read(const TomlNode& node,
                      const std::string& key,
                      double& value,
                      Range<double> range) const {
  if (node.kind != Kind::kFloat && node.kind != Kind::kInteger) wrong_type(node, key, "a number");
  value = node.scalar.get<double>();
  check_range(node.place(), key, value, range);
}

void TomlReader::read(const TomlNode& node,
                      const std::string& key,
                      std::string& value,
                      Range<std::string> /*range*/) const {
  if (node.kind != Kind::kString) wrong_type(node, key, "a string");
  value = node.scalar.get<std::string>();
  if (value.empty()) throw ConfigError("{}: '{}' is an empty string", node.place(), key);
}

}  // namespace assay
