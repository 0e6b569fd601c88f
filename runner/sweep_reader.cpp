#include "runner/sweep_reader.h"

#include "core/error.h"
#include "core/nearest_name.h"
#include "runner/variant.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace assay {
namespace {

/// `table` is `grid` or `zip`, or a table in it: `{ cap.K = [1] }` is TOML for a table in a table.
void read_axes(const TomlReader& toml,
               const TomlNode& table,
               const std::string& where,
               const std::string& prefix,
               std::vector<Axis>& axes) {
  if (table.entries.empty()) throw ConfigError("{}: '{}' is empty", table.place(), where);
  for (const auto& [name, values] : table.entries) {
    const std::string key = prefix + name;
    if (values.kind == TomlNode::Kind::kTable) {
      read_axes(toml, values, where, key + ".", axes);
      continue;
    }
    toml.expect_array(values, where + "." + key);
    Axis axis{.key = key, .place = values.place()};
    for (const TomlNode& value : values.items) {
      axis.values.push_back(toml_to_json(value));
      const auto& last = axis.values.back();
      if (where == "grid" && std::ranges::count(axis.values, last) > 1) {
        throw ConfigError("{}: '{}.{}' has {} twice", value.place(), where, key, last.dump());
      }
    }
    axes.push_back(std::move(axis));
  }
}

std::vector<Axis> read_axes(TomlReader& toml, const std::string& key) {
  std::vector<Axis> axes;
  const TomlNode* node = toml.find(key);
  if (node == nullptr) return axes;
  if (node->kind != TomlNode::Kind::kTable) {
    toml.wrong_type(*node, key, "a table of switches with lists of values");
  }
  read_axes(toml, *node, key, "", axes);
  return axes;
}

void check_zip(const Sweep& sweep) {
  for (const Axis& axis : sweep.zip) {
    if (axis.values.size() == sweep.zip.front().values.size()) continue;
    throw ConfigError("{}: 'zip' takes values together: '{}' has {}, '{}' has {}", sweep.place,
                      sweep.zip.front().key, sweep.zip.front().values.size(), axis.key,
                      axis.values.size());
  }
}

/// The axis that `key` means, in any spelling of a switch.
const Axis* find_axis(const Sweep& sweep, const std::string& key) {
  const std::string method = method_name(sweep.method);
  const auto name = switch_name(method, key).value_or(key);
  for (const std::vector<Axis>* axes : {&sweep.grid, &sweep.zip}) {
    for (const Axis& axis : *axes) {
      if (switch_name(method, axis.key).value_or(axis.key) == name) return &axis;
    }
  }
  return nullptr;
}

std::string axis_names(const Sweep& sweep, const std::string& near_to) {
  std::vector<std::string> names;
  for (const std::vector<Axis>* axes : {&sweep.grid, &sweep.zip}) {
    for (const Axis& axis : *axes) names.push_back(axis.key);
  }
  if (names.empty()) return "it has none";
  const std::string near = nearest_name(near_to, names);
  if (!near.empty()) return fmt::format("did you mean '{}'?", near);
  return fmt::format("it has: {}", fmt::join(names, ", "));
}

void read_exclusion(const Sweep& sweep,
                    const TomlNode& table,
                    const std::string& prefix,
                    Setting& excluded) {
  for (const auto& [name, node] : table.entries) {
    const std::string key = prefix + name;
    const Axis* axis = find_axis(sweep, key);
    if (axis == nullptr && node.kind == TomlNode::Kind::kTable) {
      read_exclusion(sweep, node, key + ".", excluded);
      continue;
    }
    if (axis == nullptr) {
      throw ConfigError("{}: 'exclude' names '{}', which is no axis of this sweep; {}",
                        node.place(), key, axis_names(sweep, key));
    }
    nlohmann::json value = toml_to_json(node);
    if (std::ranges::count(axis->values, value) == 0) {
      throw ConfigError("{}: 'exclude' names {} = {}, expected one of {}", node.place(), key,
                        value.dump(), nlohmann::json(axis->values).dump());
    }
    excluded.emplace_back(axis->key, std::move(value));
  }
}

/// `exclude = [{ K = 1, M = 5 }, { K = 20 }]`, or one table alone.
void read_exclude(TomlReader& toml, Sweep& sweep) {
  const TomlNode* node = toml.find("exclude");
  if (node == nullptr) return;
  std::vector<const TomlNode*> tables = {node};
  if (node->kind != TomlNode::Kind::kTable) {
    toml.expect_array(*node, "exclude");
    tables.clear();
    for (const TomlNode& item : node->items) tables.push_back(&item);
  }
  for (const TomlNode* table : tables) {
    if (table->kind != TomlNode::Kind::kTable || table->entries.empty()) {
      toml.wrong_type(*table, "exclude", "a table such as { K = 1, M = 5 }");
    }
    read_exclusion(sweep, *table, "", sweep.exclude.emplace_back());
  }
}

void check_combination(const Sweep& sweep, const TomlNode& node) {
  const MethodDescription& method = find_method(method_name(sweep.method));
  if (!method.trained) {
    throw ConfigError("{}: {} trains nothing: it has no checkpoints for an 'ensemble'",
                      node.place(), method.name);
  }
  const std::string& combine = sweep.ensemble->combine;
  if (combine != "prototype" && combine != "scores") {
    throw ConfigError("{}: 'combine' is '{}', expected 'prototype' or 'scores'", node.place(),
                      combine);
  }
  if (combine == "prototype" && !method.two_texts) {
    throw ConfigError(
        "{}: {} does not judge by two texts, whose mean a 'prototype' is; expected combine = "
        "\"scores\"",
        node.place(), method.name);
  }
}

void read_ensemble(TomlReader& parent, Sweep& sweep) {
  const TomlNode* node = parent.find("ensemble");
  if (node == nullptr) return;
  TomlReader toml(*node, "ensemble");
  std::string over = "seed";
  toml.optional("over", over);
  if (over != "seed") {
    throw ConfigError("{}: 'ensemble.over' is '{}', expected 'seed'", node->place(), over);
  }
  sweep.ensemble.emplace();
  toml.optional("n", sweep.ensemble->n, Range<std::int64_t>{2, 10'000});
  toml.optional("combine", sweep.ensemble->combine);
  toml.reject_unread();
  check_combination(sweep, *node);
}

void read_eval(TomlReader& parent, Sweep& sweep) {
  const TomlNode* node = parent.find("eval");
  if (node == nullptr) return;
  TomlReader toml(*node, "eval");
  if (const TomlNode* epochs = toml.find("epochs")) {
    sweep.eval.all_epochs = epochs->kind == TomlNode::Kind::kString && epochs->scalar == "all";
    if (!sweep.eval.all_epochs && epochs->kind != TomlNode::Kind::kArray) {
      toml.wrong_type(*epochs, "eval.epochs", "a list of epochs, or \"all\"");
    }
    if (!sweep.eval.all_epochs) toml.read(*epochs, "eval.epochs", sweep.eval.epochs);
    for (const std::int64_t epoch : sweep.eval.epochs) {
      if (epoch < 0) throw ConfigError("{}: 'eval.epochs' has {}", epochs->place(), epoch);
    }
    std::ranges::sort(sweep.eval.epochs);
  }
  toml.optional("on_train", sweep.eval.on_train);
  toml.reject_unread();
  const MethodDescription& method = find_method(method_name(sweep.method));
  if (!method.trained) {
    throw ConfigError("{}: {} trains nothing: it has no epochs and no training set to evaluate",
                      node->place(), method.name);
  }
  if (sweep.ensemble) {
    throw ConfigError(
        "{}: 'eval' beside 'ensemble', whose curves would be of its members; make "
        "two sweeps of them",
        node->place());
  }
}

/// A list of words of which each is one of `known`.
void read_words(TomlReader& toml,
                const std::string& key,
                const std::vector<std::string>& known,
                std::vector<std::string>& words) {
  if (!toml.optional(key, words)) return;
  for (const std::string& word : words) {
    if (std::ranges::count(known, word) > 0) continue;
    const std::string near = nearest_name(word, known);
    throw ConfigError("{}: '{}' has '{}', expected {}{}", toml.find(key)->place(), key, word,
                      fmt::join(known, " or "),
                      near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
  }
}

}  // namespace

ProfileRequest read_profile(TomlReader& toml) {
  ProfileRequest profile;
  profile.place = toml.table().place();
  toml.required("methods", profile.methods);
  for (const std::string& method : profile.methods) {
    check_at(*toml.find("methods"), [&] { (void)find_method(method_name(method)); });
  }
  read_words(toml, "form", {"literal", "cached"}, profile.forms);
  read_words(toml, "phase", {"train", "infer"}, profile.phases);
  toml.optional("batch", profile.batch, Range<std::int64_t>{1, 4096});
  std::int64_t steps = 0;
  if (toml.optional("steps", steps, Range<std::int64_t>{1, 1'000'000})) profile.steps = steps;
  toml.optional("warmup", profile.warmup, Range<std::int64_t>{0, 1'000'000});
  toml.reject_unread();
  return profile;
}

Sweep read_sweep(TomlReader& toml) {
  Sweep sweep;
  sweep.place = toml.table().place();
  if (toml.table().file) {
    sweep.folder = std::filesystem::path(*toml.table().file).parent_path();
  }
  toml.required("method", sweep.method);
  check_at(*toml.find("method"), [&] { (void)find_method(method_name(sweep.method)); });
  sweep.grid = read_axes(toml, "grid");
  sweep.zip = read_axes(toml, "zip");
  check_zip(sweep);
  std::vector<std::int64_t> seeds;
  if (toml.optional("seeds", seeds, {{0, kLargestSeed}})) sweep.seeds = seeds;
  read_exclude(toml, sweep);
  read_ensemble(toml, sweep);
  read_eval(toml, sweep);
  toml.reject_unread();
  return sweep;
}

}  // namespace assay
