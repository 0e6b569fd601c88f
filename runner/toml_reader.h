#pragma once

#include "core/error.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {

/// A value of a TOML file and where it stands.
struct TomlNode {
  enum class Kind { kBool, kInteger, kFloat, kString, kArray, kTable };
  Kind kind = Kind::kTable;
  nlohmann::json scalar = {};                                  ///< Of the first four kinds.
  std::vector<TomlNode> items = {};                            ///< Of an array.
  std::vector<std::pair<std::string, TomlNode>> entries = {};  ///< Of a table, in the file's order.
  std::shared_ptr<const std::string> file = {};  ///< Where it stands; none: the command line.
  std::int64_t line = 0;

  [[nodiscard]] const TomlNode* find(std::string_view key) const;
  /// `file:line`, or `command line`.
  [[nodiscard]] std::string place() const;
};

/// Parses TOML 1.0 (toml++). Throws ConfigError with file and line on bad syntax, on a key given
/// twice, and on what no study needs: dates, times, NaN and infinity.
[[nodiscard]] TomlNode parse_toml(const std::string& text, const std::string& file);

/// `a string`, `an integer`, ... for messages.
[[nodiscard]] std::string_view kind_name(TomlNode::Kind kind);
/// The value as JSON. Tables become objects.
[[nodiscard]] nlohmann::json toml_to_json(const TomlNode& node);

/// Inclusive bounds of a number.
template <typename T>
struct Range {
  T minimum = std::numeric_limits<T>::lowest();
  T maximum = std::numeric_limits<T>::max();
};

/// Of each item of a list.
template <typename T>
struct Range<std::vector<T>> : Range<T> {};

/// Reads a table key by key into plain fields: types are checked, missing and unknown keys are
/// errors with file, line and the nearest name. It borrows the node.
///
/// Types: bool, std::int64_t, double, std::string, and a std::vector of these, not empty and
/// without duplicates.
class TomlReader {
 public:
  /// `where` names the table in messages: `a study`, `[[sweep]]`.
  TomlReader(const TomlNode& table, std::string where);

  template <typename T>
  void required(const std::string& key, T& value, Range<T> range = {}) {
    read(require(key), key, value, range);
  }
  /// True where the key is there.
  template <typename T>
  bool optional(const std::string& key, T& value, Range<T> range = {}) {
    const TomlNode* node = find(key);
    if (node != nullptr) read(*node, key, value, range);
    return node != nullptr;
  }

  /// The value of `key`, which counts as read, or nullptr.
  [[nodiscard]] const TomlNode* find(const std::string& key);
  [[nodiscard]] const TomlNode& require(const std::string& key);
  /// The tables `[[key]]`, none where the key is missing.
  [[nodiscard]] std::vector<TomlReader> tables(const std::string& key);

  /// Throws where a key was never asked for.
  void reject_unread() const;

  [[nodiscard]] const TomlNode& table() const { return table_; }

  // One value of a known type. `key` is for messages.
  void read(const TomlNode& node, const std::string& key, bool& value, Range<bool> = {}) const;
  void read(const TomlNode& node,
            const std::string& key,
            std::int64_t& value,
            Range<std::int64_t> range = {}) const;
  void read(const TomlNode& node,
            const std::string& key,
            double& value,
            Range<double> range = {}) const;
  void read(const TomlNode& node,
            const std::string& key,
            std::string& value,
            Range<std::string> = {}) const;
  template <typename T>
  void read(const TomlNode& node,
            const std::string& key,
            std::vector<T>& values,
            Range<std::vector<T>> range = {}) const {
    expect_array(node, key);
    values.clear();
    std::set<T> seen;
    for (const TomlNode& item : node.items) {
      T value{};
      read(item, key, value, range);
      if (!seen.insert(value).second) {
        throw ConfigError("{}: '{}' has {} twice", item.place(), key, item.scalar.dump());
      }
      values.push_back(std::move(value));
    }
  }

  /// Throws where `node` is no array, or an empty one.
  void expect_array(const TomlNode& node, const std::string& key) const;
  [[noreturn]] void wrong_type(const TomlNode& node,
                               const std::string& key,
                               std::string_view expected) const;

 private:
  [[noreturn]] void unknown(const std::string& key, const TomlNode& node) const;

  const TomlNode& table_;
  std::string where_;
  std::vector<std::string> known_;
};

}  // namespace assay
