#include "runner/study.h"

#include "core/error.h"
#include "core/file.h"
#include "core/nearest_name.h"
#include "runner/job_spec.h"
#include "runner/overrides.h"
#include "runner/precision.h"
#include "runner/toml_reader.h"
#include "runner/variant.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace assay {
namespace {

/// Throws with the place of `node` what `check` throws.
template <typename Check>
void check_at(const TomlReader& toml, const TomlNode& node, Check check) {
  try {
    check();
  } catch (const ConfigError& error) {
    throw ConfigError("{}: {}", toml.at(node), error.what());
  }
}

/// What the design names and a later build brings.
void refuse_for_now(TomlReader& toml, const std::string& key, const std::string& where) {
  const TomlNode* node = toml.find(key);
  if (node != nullptr) {
    throw ConfigError("{}: '{}' of {} is not supported yet; take it out", toml.at(*node), key,
                      where);
  }
}

/// A plain value, or a table of values with an optional `default`.
template <typename T, typename Read>
void read_by_name(TomlReader& toml, const std::string& key, ByName<T>& values, Read read) {
  const TomlNode* node = toml.find(key);
  if (node == nullptr) return;
  if (node->kind != TomlNode::Kind::kTable) {
    values.fallback = read(*node, key);
    return;
  }
  for (const auto& [name, value] : node->entries) {
    T entry = read(value, key + "." + name);
    if (name == "default") {
      values.fallback = std::move(entry);
    } else {
      values.by_name[name] = std::move(entry);
    }
  }
}

template <typename T>
T read_value(const TomlReader& toml, const TomlNode& node, const std::string& key) {
  T value{};
  toml.read(node, key, value);
  return value;
}

/// A set or a list of sets; a list is a concatenation ordered by set id, so that equal lists are
/// one training (`spec/ablations.md` 4.1).
std::vector<std::string> read_sets(const TomlReader& toml,
                                   const TomlNode& node,
                                   const std::string& key) {
  if (key == "train_on.image" || key == "train_on.pixel") {
    throw ConfigError("{}: '{}', a training per level, is not supported yet", toml.at(node), key);
  }
  std::vector<std::string> sets;
  if (node.kind == TomlNode::Kind::kString) {
    sets.push_back(read_value<std::string>(toml, node, key));
  } else if (node.kind == TomlNode::Kind::kArray) {
    toml.read(node, key, sets);
  } else {
    toml.wrong_type(node, key, "a data set, or a list of them");
  }
  std::ranges::sort(sets);
  return sets;
}

/// `precision = "bf16"`, or by kind of job: `{ default = "bf16", encode = "fp32" }`.
void read_precision(TomlReader& toml, Study& study) {
  read_by_name(toml, "precision", study.precision,
               [&](const TomlNode& node, const std::string& key) {
                 const auto precision = read_value<std::string>(toml, node, key);
                 check_at(toml, node, [&] { check_precision(precision); });
                 return precision;
               });
  for (const auto& [kind, precision] : study.precision.by_name) {
    check_at(toml, *toml.find("precision"), [&] { (void)job_kind_from(kind); });
  }
}

std::string read_split(const TomlReader& toml, const TomlNode& node, const std::string& key) {
  const auto split = read_value<std::string>(toml, node, key);
  if (split != "test" && split != "all") {
    throw ConfigError("{}: '{}' is '{}', expected 'test' or 'all' (train and test)", toml.at(node),
                      key, split);
  }
  return split;
}

/// `table` is `grid` or `zip`, or a table in it: `{ cap.K = [1] }` is TOML for a table in a table.
void read_axes(const TomlReader& toml,
               const TomlNode& table,
               const std::string& where,
               const std::string& prefix,
               std::vector<Axis>& axes) {
  if (table.entries.empty()) throw ConfigError("{}: '{}' is empty", toml.at(table), where);
  for (const auto& [name, values] : table.entries) {
    const std::string key = prefix + name;
    if (values.kind == TomlNode::Kind::kTable) {
      read_axes(toml, values, where, key + ".", axes);
      continue;
    }
    toml.expect_array(values, where + "." + key);
    Axis axis{.key = key, .line = values.line};
    for (const TomlNode& value : values.items) {
      axis.values.push_back(toml_to_json(value));
      const auto& last = axis.values.back();
      if (where == "grid" && std::ranges::count(axis.values, last) > 1) {
        throw ConfigError("{}: '{}.{}' has {} twice", toml.at(value), where, key, last.dump());
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

Sweep read_sweep(TomlReader& toml) {
  Sweep sweep{.line = toml.table().line};
  toml.required("method", sweep.method);
  check_at(toml, *toml.find("method"), [&] { (void)find_method(method_name(sweep.method)); });
  sweep.grid = read_axes(toml, "grid");
  sweep.zip = read_axes(toml, "zip");
  for (const Axis& axis : sweep.zip) {
    if (axis.values.size() == sweep.zip.front().values.size()) continue;
    throw ConfigError("{}: 'zip' takes values together: '{}' has {}, '{}' has {}",
                      toml.at(toml.table()), sweep.zip.front().key, sweep.zip.front().values.size(),
                      axis.key, axis.values.size());
  }
  std::vector<std::int64_t> seeds;
  if (toml.optional("seeds", seeds)) sweep.seeds = seeds;
  for (const char* later : {"ensemble", "eval", "base"}) refuse_for_now(toml, later, "[[sweep]]");
  toml.reject_unread();
  return sweep;
}

PublishedTable read_published_table(const TomlReader& parent,
                                    const TomlNode& node,
                                    const std::string& file) {
  if (node.kind != TomlNode::Kind::kTable) {
    parent.wrong_type(node, "published_table", "{ paper = \"...\", table = \"...\" }");
  }
  TomlReader toml(node, file, "published_table");
  PublishedTable table;
  toml.required("paper", table.paper);
  toml.required("table", table.table);
  toml.reject_unread();
  return table;
}

void read_published(TomlReader& toml, Study& study) {
  toml.optional("published", study.published);
  const TomlNode* node = toml.find("published_table");
  if (node == nullptr) {
    if (study.published.empty()) return;
    throw ConfigError(
        "{}: 'published' names methods, but no 'published_table' says in which "
        "paper's table they are printed",
        toml.at(*toml.find("published")));
  }
  const std::string file = study.path.string();
  if (node->kind == TomlNode::Kind::kArray) {
    toml.expect_array(*node, "published_table");
    for (const TomlNode& item : node->items) {
      study.published_tables.push_back(read_published_table(toml, item, file));
    }
  } else {
    study.published_tables.push_back(read_published_table(toml, *node, file));
  }
  check_at(toml, *node, [&] { check_published(study.published_tables, study.published); });
}

/// `skip = { visa = ["candle/Data/Images/Normal/0001.JPG"] }`
void read_skip(TomlReader& toml, Study& study) {
  const TomlNode* node = toml.find("skip");
  if (node == nullptr) return;
  if (node->kind != TomlNode::Kind::kTable) {
    toml.wrong_type(*node, "skip", "a table of data sets with lists of images");
  }
  for (const auto& [dataset, paths] : node->entries) {
    toml.read(paths, "skip." + dataset, study.skip[dataset]);
  }
}

void read_outputs(TomlReader& parent, Study& study) {
  const TomlNode* node = parent.find("outputs");
  if (node == nullptr) return;
  TomlReader toml(*node, study.path.string(), "outputs");
  toml.optional("heatmaps", study.heatmaps, Range<std::int64_t>{0, 10'000});
  for (const char* later :
       {"maps", "prompt_maps", "text_embeddings", "clusters", "attention", "loss"}) {
    refuse_for_now(toml, later, "outputs");
  }
  toml.reject_unread();
}

/// A misspelt target would train on the default set without a word. Other sets may stand there:
/// a command line can leave targets out.
void check_targets(const TomlReader& toml, const TomlNode& root, const Study& study) {
  const TomlNode* node = root.find("train_on");
  if (node == nullptr || node->kind != TomlNode::Kind::kTable) return;
  std::vector<std::string> known = study.targets;  // And the sets that must not train themselves.
  for (const auto& [name, sets] : study.train_on.by_name) {
    known.insert(known.end(), sets.begin(), sets.end());
  }
  if (study.train_on.fallback) {
    known.insert(known.end(), study.train_on.fallback->begin(), study.train_on.fallback->end());
  }
  for (const auto& [name, value] : node->entries) {
    if (name == "default" || std::ranges::find(known, name) != known.end()) continue;
    const std::string near = nearest_name(name, study.targets);
    if (near.empty() || study.train_on.has_entry(near)) continue;
    throw ConfigError("{}: 'train_on.{}' is not a target; did you mean '{}'?", toml.at(value), name,
                      near);
  }
}

void check_names(const TomlReader& toml, const TomlNode& root, const Study& study) {
  if (const TomlNode* node = root.find("backbone")) {
    check_at(toml, *node, [&] {
      if (study.backbone.fallback) (void)find_backbone(*study.backbone.fallback);
      for (const auto& [method, name] : study.backbone.by_name) {
        (void)find_method(method);
        (void)find_backbone(name);
      }
    });
  }
  if (const TomlNode* node = root.find("image_size")) {
    check_at(toml, *node, [&] {
      for (const auto& [method, size] : study.image_size.by_name) (void)find_method(method);
    });
  }
}

}  // namespace

Study parse_study(const std::string& text,
                  const std::filesystem::path& path,
                  const std::vector<std::string>& overrides) {
  Study study{.path = path, .text = text};
  TomlNode root = parse_toml(text, path.string());
  const std::vector<Axis> axes = apply_overrides(overrides, root);
  for (const std::string& override_ : overrides) study.text += "\n# override: " + override_;

  TomlReader toml(root, path.string(), "a study");
  toml.required("schema", study.schema, Range<std::int64_t>{1, 1});
  toml.required("name", study.name);
  read_by_name(toml, "backbone", study.backbone, [&](const TomlNode& node, const std::string& key) {
    return read_value<std::string>(toml, node, key);
  });
  const Range<std::int64_t> sizes{1, 1 << 14};
  read_by_name(toml, "image_size", study.image_size,
               [&](const TomlNode& node, const std::string& key) {
                 std::int64_t size = 0;
                 toml.read(node, key, size, sizes);
                 return size;
               });
  std::int64_t eval_size = 0;
  if (toml.optional("eval_size", eval_size, sizes)) study.eval_size = eval_size;
  read_precision(toml, study);
  read_by_name(toml, "train_on", study.train_on, [&](const TomlNode& node, const std::string& key) {
    return read_sets(toml, node, key);
  });
  read_by_name(
      toml, "train_split", study.train_split,
      [&](const TomlNode& node, const std::string& key) { return read_split(toml, node, key); });
  toml.required("targets", study.targets);
  toml.optional("seeds", study.seeds);
  toml.optional("allow_overlap", study.allow_overlap);
  read_skip(toml, study);
  read_outputs(toml, study);
  read_published(toml, study);
  const auto read_path = [&](const TomlNode& node, const std::string& key) {
    return path.parent_path() / read_value<std::string>(toml, node, key);
  };
  read_by_name(toml, "data", study.data, read_path);
  if (const TomlNode* node = toml.find("weights")) study.weights = read_path(*node, "weights");
  refuse_for_now(toml, "profile", "a study");
  for (TomlReader& sweep : toml.tables("sweep")) study.sweeps.push_back(read_sweep(sweep));
  toml.reject_unread();
  if (study.sweeps.empty()) {
    throw ConfigError("{}: a study has no [[sweep]]; add one with a 'method'", path.string());
  }
  check_names(toml, root, study);
  check_targets(toml, root, study);
  vary(study, axes);
  check_variants(study);
  return study;
}

Study load_study(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  if (!std::filesystem::is_regular_file(path)) {
    throw ConfigError("{}: no such study file", path.string());
  }
  return parse_study(read_file(path), path, overrides);
}

std::filesystem::path Study::dataset_root(const std::string& dataset) const {
  const auto own = data.by_name.find(dataset);
  if (own != data.by_name.end()) return own->second;
  if (data.fallback) return *data.fallback / dataset;
  throw ConfigError(
      "{}: no folder is named for data set '{}'; add data = \"FOLDER\" (which has a "
      "folder {}), or data = {{ {} = \"FOLDER\" }}",
      path.string(), dataset, dataset, dataset);
}

std::vector<Setting> settings(const Sweep& sweep) {
  std::vector<Setting> result = {{}};
  for (const Axis& axis : sweep.grid) {
    std::vector<Setting> crossed;
    for (const Setting& setting : result) {
      for (const nlohmann::json& value : axis.values) {
        crossed.push_back(setting);
        crossed.back().emplace_back(axis.key, value);
      }
    }
    result = std::move(crossed);
  }
  if (sweep.zip.empty()) return result;
  std::vector<Setting> zipped;
  for (const Setting& setting : result) {
    for (std::size_t i = 0; i < sweep.zip.front().values.size(); ++i) {
      zipped.push_back(setting);
      for (const Axis& axis : sweep.zip) zipped.back().emplace_back(axis.key, axis.values[i]);
    }
  }
  return zipped;
}

}  // namespace assay
