#include "runner/overrides.h"

#include "core/error.h"
#include "core/nearest_name.h"
#include "runner/variant.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace assay {
namespace {

constexpr std::array<std::string_view, 3> kListKeys = {"published", "seeds", "targets"};
constexpr std::array<std::string_view, 10> kStudyKeys = {
    "name",        "backbone",      "image_size", "eval_size", "train_on",
    "train_split", "allow_overlap", "precision",  "data",      "weights"};
/// Study keys that are axes where several values are given, or where a sweep varies them.
constexpr std::array<std::string_view, 3> kAxisKeys = {"backbone", "image_size", "eval_size"};

/// Keys that only a file can give: tables, and what says how to read it.
constexpr std::array<std::string_view, 13> kFileKeys = {
    "schema",   "base",    "skip",   "outputs", "published_table",
    "sweep",    "profile", "method", "grid",    "exclude",
    "ensemble", "eval",    "zip"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& keys, const std::string& key) {
  return std::ranges::find(keys, key) != keys.end();
}

void forget_lines(TomlNode& node) {
  node.line = 0;
  node.file.reset();
  for (TomlNode& item : node.items) forget_lines(item);
  for (auto& [key, value] : node.entries) forget_lines(value);
}

TomlNode as_list(const std::string& text) {
  TomlNode list = parse_toml("v = [" + text + "]", "command line").entries.front().second;
  forget_lines(list);
  return list;
}

/// `4,8`; `visa,btad`; `true`; `[6, 12],[24]`.
TomlNode parse_values(const std::string& text) {
  try {
    return as_list(text);
  } catch (const ConfigError&) {
    // Not TOML: words without quotes.
  }
  TomlNode list{.kind = TomlNode::Kind::kArray};
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    try {
      const TomlNode values = as_list(word);
      list.items.insert(list.items.end(), values.items.begin(), values.items.end());
    } catch (const ConfigError&) {
      const bool is_number = word.find_first_not_of("+-0123456789") == std::string::npos;
      if (is_number && !word.empty()) throw;  // One that TOML has no room for.
      list.items.push_back({.kind = TomlNode::Kind::kString, .scalar = word});
    }
    begin = end + 1;
  }
  return list;
}

Axis axis_of(const std::string& key, const TomlNode& values) {
  Axis axis{.key = key};
  for (const TomlNode& value : values.items) {
    axis.values.push_back(toml_to_json(value));
    const auto& last = axis.values.back();
    if (std::ranges::count(axis.values, last) > 1) {
      throw ConfigError("command line: '{}' has {} twice", key, last.dump());
    }
  }
  return axis;
}

[[noreturn]] void refuse_second(const std::string& first, const std::string& second) {
  throw ConfigError("command line: '{}' and '{}' give one key twice; several values are {}=A,B",
                    first, second, second);
}

void replace(TomlNode& root, const std::string& key, TomlNode value) {
  for (auto& [name, old] : root.entries) {
    if (name != key) continue;
    old = std::move(value);
    return;
  }
  root.entries.emplace_back(key, std::move(value));
}

/// A sweep's own seeds too.
void replace_in_sweeps(TomlNode& root, const std::string& key, const TomlNode& value) {
  for (auto& [name, sweeps] : root.entries) {
    if (name != "sweep") continue;
    for (TomlNode& sweep : sweeps.items) {
      if (sweep.find(key) != nullptr) replace(sweep, key, value);
    }
  }
}

}  // namespace

std::vector<Axis> apply_overrides(const std::vector<std::string>& overrides, TomlNode& root) {
  std::vector<Axis> axes;
  std::set<std::string> given;
  for (const std::string& text : overrides) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      throw ConfigError("'{}' is not an override; expected KEY=VALUE or KEY=VALUE,VALUE", text);
    }
    const std::string key = text.substr(0, equals);
    if (!given.insert(key).second) refuse_second(key, key);
    TomlNode values = parse_values(text.substr(equals + 1));
    if (contains(kStudyKeys, key)) {
      if (key == "data" || key == "weights") {
        // A path on the command line starts where the person is.
        for (TomlNode& value : values.items) {
          if (value.kind == TomlNode::Kind::kString) {
            value.scalar = std::filesystem::absolute(value.scalar.get<std::string>()).string();
          }
        }
      }
      if (contains(kAxisKeys, key)) axes.push_back(axis_of(key, values));
      if (contains(kAxisKeys, key) && values.items.size() > 1) continue;
      replace(root, key, values.items.size() == 1 ? values.items.front() : values);
    } else if (contains(kListKeys, key)) {
      replace(root, key, values);
      if (key == "seeds") replace_in_sweeps(root, key, values);
    } else {
      axes.push_back(axis_of(key, values));
    }
  }
  return axes;
}

void vary(Study& study, const std::vector<Axis>& axes) {
  for (const Axis& axis : axes) {
    const bool is_place = contains(kAxisKeys, axis.key);
    bool found = is_place;
    std::vector<std::string> known(kStudyKeys.begin(), kStudyKeys.end());
    known.insert(known.end(), kListKeys.begin(), kListKeys.end());
    for (Sweep& sweep : study.sweeps) {
      const std::string method = method_name(sweep.method);
      const auto name = is_place ? axis.key : switch_name(method, axis.key);
      for (const auto& [short_name, full] : find_method(method).short_names) {
        known.push_back(short_name);
      }
      if (!find_method(method).rows.empty()) known.emplace_back("row");
      for (const SwitchDescription& candidate : find_method(method).switches) {
        known.push_back(candidate.name);
      }
      if (!name) continue;
      found = true;
      const auto same = [&](const Axis& other) {
        return other.key == axis.key || switch_name(method, other.key) == name;
      };
      if (std::ranges::any_of(sweep.zip, same)) {
        throw ConfigError(
            "command line: '{}' stands in a 'zip' of a sweep of {}, whose values "
            "belong together; change the study file",
            axis.key, sweep.method);
      }
      const auto other = std::ranges::find_if(axes, same);
      if (&*other != &axis) refuse_second(other->key, axis.key);
      const auto old = std::ranges::find_if(sweep.grid, same);
      if (old != sweep.grid.end()) {
        *old = axis;
      } else if (!is_place || axis.values.size() > 1) {  // One value is the study's key.
        sweep.grid.push_back(axis);
      }
    }
    if (found) continue;
    if (contains(kFileKeys, axis.key)) {
      throw ConfigError("command line: '{}' cannot be given on the command line; change {}",
                        axis.key, study.path.string());
    }
    const std::string near = nearest_name(axis.key, known);
    throw ConfigError(
        "command line: '{}' is neither a key of a study nor a switch of its methods{}", axis.key,
        near.empty() ? "" : "; did you mean '" + near + "'?");
  }
}

}  // namespace assay
