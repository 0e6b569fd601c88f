#include "runner/overrides.h"

#include "core/error.h"
#include "core/nearest_name.h"
#include "runner/variant.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace assay {
namespace {

constexpr std::array<std::string_view, 2> kListKeys = {"seeds", "targets"};
constexpr std::array<std::string_view, 10> kStudyKeys = {
    "name",        "backbone",      "image_size", "eval_size", "train_on",
    "train_split", "allow_overlap", "precision",  "data",      "weights"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& keys, const std::string& key) {
  return std::ranges::find(keys, key) != keys.end();
}

void forget_lines(TomlNode& node) {
  node.line = 0;
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
      list.items.push_back({.kind = TomlNode::Kind::kString, .scalar = word});
    }
    begin = end + 1;
  }
  return list;
}

void replace(TomlNode& root, const std::string& key, TomlNode value) {
  for (auto& [name, old] : root.entries) {
    if (name != key) continue;
    old = std::move(value);
    return;
  }
  root.entries.emplace_back(key, std::move(value));
}

}  // namespace

std::vector<Axis> apply_overrides(const std::vector<std::string>& overrides, TomlNode& root) {
  std::vector<Axis> axes;
  for (const std::string& text : overrides) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      throw ConfigError("'{}' is not an override; expected KEY=VALUE or KEY=VALUE,VALUE", text);
    }
    const std::string key = text.substr(0, equals);
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
      replace(root, key, values.items.size() == 1 ? values.items.front() : values);
    } else if (contains(kListKeys, key)) {
      replace(root, key, values);
    } else {
      Axis axis{.key = key};
      for (const TomlNode& value : values.items) axis.values.push_back(toml_to_json(value));
      axes.push_back(std::move(axis));
    }
  }
  return axes;
}

void vary(Study& study, const std::vector<Axis>& axes) {
  for (const Axis& axis : axes) {
    bool found = false;
    std::vector<std::string> known(kStudyKeys.begin(), kStudyKeys.end());
    known.insert(known.end(), kListKeys.begin(), kListKeys.end());
    for (Sweep& sweep : study.sweeps) {
      const std::string method = method_name(sweep.method);
      const auto name = switch_name(method, axis.key);
      for (const auto& [short_name, full] : find_method(method).short_names) {
        known.push_back(short_name);
      }
      if (!find_method(method).rows.empty()) known.emplace_back("row");
      for (const SwitchDescription& candidate : find_method(method).switches) {
        known.push_back(candidate.name);
      }
      if (!name) continue;
      found = true;
      const auto same = [&](const Axis& other) { return switch_name(method, other.key) == name; };
      if (std::ranges::any_of(sweep.zip, same)) {
        throw ConfigError(
            "command line: '{}' stands in a 'zip' of a sweep of {}, whose values "
            "belong together; change the study file",
            axis.key, sweep.method);
      }
      const auto old = std::ranges::find_if(sweep.grid, same);
      if (old == sweep.grid.end()) {
        sweep.grid.push_back(axis);
      } else {
        *old = axis;
      }
    }
    if (found) continue;
    const std::string near = nearest_name(axis.key, known);
    throw ConfigError(
        "command line: '{}' is neither a key of a study nor a switch of its methods{}", axis.key,
        near.empty() ? "" : "; did you mean '" + near + "'?");
  }
}

}  // namespace assay
