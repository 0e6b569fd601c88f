#include "runner/study.h"

#include "core/error.h"
#include "core/file.h"
#include "core/nearest_name.h"
#include "runner/job_spec.h"
#include "runner/overrides.h"
#include "runner/precision.h"
#include "runner/study_base.h"
#include "runner/sweep_reader.h"
#include "runner/toml_reader.h"
#include "runner/variant.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace assay {
namespace {

/// What the design names and a later build brings.
void refuse_for_now(TomlReader& toml, const std::string& key, const std::string& where) {
  const TomlNode* node = toml.find(key);
  if (node != nullptr) {
    throw ConfigError("{}: '{}' of {} is not supported yet; take it out", node->place(), key,
                      where);
  }
}

void read_schema(TomlReader& toml, Study& study) {
  toml.required("schema", study.schema);
  if (study.schema == 1) return;
  throw ConfigError("{}: 'schema' is {}, this build reads 1{}", toml.find("schema")->place(),
                    study.schema,
                    study.schema > 1 ? "; the study needs a newer build of assay" : "");
}

/// A plain value, or a table of values with an optional `default`.
template <typename T, typename Read>
void read_values(const TomlNode& node, const std::string& key, ByName<T>& values, Read read) {
  if (node.kind != TomlNode::Kind::kTable) {
    values.fallback = read(node, key);
    return;
  }
  for (const auto& [name, value] : node.entries) {
    T entry = read(value, key + "." + name);
    if (name == "default") {
      values.fallback = std::move(entry);
    } else {
      values.by_name[name] = std::move(entry);
    }
  }
}

template <typename T, typename Read>
void read_by_name(TomlReader& toml, const std::string& key, ByName<T>& values, Read read) {
  if (const TomlNode* node = toml.find(key)) read_values(*node, key, values, read);
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
                 check_at(node, [&] { check_precision(precision); });
                 return precision;
               });
  std::vector<std::string> known = {"default"};
  for (const JobKind kind : kJobKinds) known.emplace_back(to_string(kind));
  for (const auto& [kind, precision] : study.precision.by_name) {
    if (std::ranges::find(known, kind) != known.end()) continue;
    const std::string nearest = nearest_name(kind, known);
    throw ConfigError("{}: '{}' is not a key of 'precision'{}; known: {}",
                      toml.find("precision")->find(kind)->place(), kind,
                      nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
                      fmt::join(known, ", "));
  }
}

/// `train_on`: auxiliary sets by target, or that once for image and once for pixel metrics.
void read_train_on(TomlReader& toml, Study& study) {
  const TomlNode* node = toml.find("train_on");
  if (node == nullptr) return;
  const auto read = [&](const TomlNode& value, const std::string& key) {
    return read_sets(toml, value, key);
  };
  const TomlNode *image = node->find("image"), *pixel = node->find("pixel");
  if (image == nullptr && pixel == nullptr) {
    read_values(*node, "train_on", study.train_on, read);
    return;
  }
  for (const auto& [name, value] : node->entries) {
    if (&value == image || &value == pixel) continue;
    throw ConfigError(
        "{}: 'train_on.{}' beside a training per level; put it inside: train_on = {{ image = {{ "
        "default = ..., {} = ... }}, pixel = ... }}",
        value.place(), name, name);
  }
  if (image == nullptr || pixel == nullptr) {
    throw ConfigError("{}: 'train_on' has '{}' and no '{}'; a training per level needs both",
                      node->place(), image == nullptr ? "pixel" : "image",
                      image == nullptr ? "image" : "pixel");
  }
  read_values(*image, "train_on.image", study.train_on, read);
  read_values(*pixel, "train_on.pixel", study.train_on_pixel.emplace(), read);
}

std::string read_split(const TomlReader& toml, const TomlNode& node, const std::string& key) {
  const auto split = read_value<std::string>(toml, node, key);
  if (split != "test" && split != "all") {
    throw ConfigError("{}: '{}' is '{}', expected 'test' or 'all' (train and test)", node.place(),
                      key, split);
  }
  return split;
}

PublishedTable read_published_table(const TomlReader& parent, const TomlNode& node) {
  if (node.kind != TomlNode::Kind::kTable) {
    parent.wrong_type(node, "published_table", "{ paper = \"...\", table = \"...\" }");
  }
  TomlReader toml(node, "published_table");
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
        toml.find("published")->place());
  }
  if (node->kind == TomlNode::Kind::kArray) {
    toml.expect_array(*node, "published_table");
    for (const TomlNode& item : node->items) {
      study.published_tables.push_back(read_published_table(toml, item));
    }
  } else {
    study.published_tables.push_back(read_published_table(toml, *node));
  }
  check_at(*node, [&] { check_published(study.published_tables, study.published); });
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
  TomlReader toml(*node, "outputs");
  toml.optional("heatmaps", study.heatmaps, Range<std::int64_t>{0, 10'000});
  for (const char* later :
       {"maps", "prompt_maps", "text_embeddings", "clusters", "attention", "loss"}) {
    refuse_for_now(toml, later, "outputs");
  }
  toml.reject_unread();
}

/// Every set that a `train_on` trains on.
std::vector<std::string> training_sets(const ByName<std::vector<std::string>>& train_on) {
  std::vector<std::string> all = train_on.fallback.value_or(std::vector<std::string>());
  for (const auto& [name, sets] : train_on.by_name) all.insert(all.end(), sets.begin(), sets.end());
  return all;
}

/// A misspelt target would train on the default set without a word. Other sets may stand there:
/// a command line can leave targets out.
void check_targets(const TomlNode* node,
                   const std::string& key,
                   const ByName<std::vector<std::string>>& train_on,
                   const Study& study) {
  if (node == nullptr || node->kind != TomlNode::Kind::kTable) return;
  std::vector<std::string> known = training_sets(train_on);  // They must not train themselves.
  known.insert(known.end(), study.targets.begin(), study.targets.end());
  for (const auto& [name, value] : node->entries) {
    if (name == "default" || std::ranges::find(known, name) != known.end()) continue;
    const std::string near = nearest_name(name, study.targets);
    if (near.empty() || train_on.has_entry(near)) continue;
    throw ConfigError("{}: '{}.{}' is not a target; did you mean '{}'?", value.place(), key, name,
                      near);
  }
}

void check_targets(const TomlNode& root, const Study& study) {
  const TomlNode* node = root.find("train_on");
  if (!study.train_on_pixel) {
    check_targets(node, "train_on", study.train_on, study);
    return;
  }
  check_targets(node->find("image"), "train_on.image", study.train_on, study);
  check_targets(node->find("pixel"), "train_on.pixel", *study.train_on_pixel, study);
}

/// Where each string below `node` stands.
void add_places(const TomlNode& node,
                const std::string& key,
                std::map<std::string, std::string>& places) {
  if (node.kind == TomlNode::Kind::kString) {
    places.emplace(key + "." + node.scalar.get<std::string>(), node.place());
  }
  for (const TomlNode& item : node.items) add_places(item, key, places);
  for (const auto& [name, value] : node.entries) add_places(value, key, places);
}

void add_words(const TomlNode& node, std::set<std::string>& words) {
  if (node.kind == TomlNode::Kind::kString) words.insert(node.scalar.get<std::string>());
  for (const TomlNode& item : node.items) add_words(item, words);
  for (const auto& [key, value] : node.entries) {
    words.insert(key);
    add_words(value, words);
  }
}

/// The data sets that the file speaks of, whatever the command line leaves out.
std::set<std::string> named_sets(const TomlNode& root) {
  std::set<std::string> sets;
  for (const char* key : {"targets", "train_on"}) {
    if (const TomlNode* node = root.find(key)) add_words(*node, sets);
  }
  return sets;
}

void check_skip(const TomlNode& root, const std::set<std::string>& named, const Study& study) {
  for (const auto& [dataset, paths] : study.skip) {
    if (named.contains(dataset)) continue;
    const std::vector<std::string> known(study.targets.begin(), study.targets.end());
    const std::string near =
        nearest_name(dataset, std::vector<std::string>(named.begin(), named.end()));
    throw ConfigError("{}: 'skip.{}' is no data set of this study; {}",
                      root.find("skip")->find(dataset)->place(), dataset,
                      near.empty() ? fmt::format("targets: {}", fmt::join(known, ", "))
                                   : fmt::format("did you mean '{}'?", near));
  }
}

void check_names(const TomlNode& root, const Study& study) {
  if (const TomlNode* node = root.find("backbone")) {
    check_at(*node, [&] {
      if (study.backbone.fallback) (void)find_backbone(*study.backbone.fallback);
      for (const auto& [method, name] : study.backbone.by_name) {
        (void)find_method(method);
        (void)find_backbone(name);
      }
    });
  }
  for (const char* key : {"image_size", "eval_size"}) {
    const TomlNode* node = root.find(key);
    if (node == nullptr || node->kind != TomlNode::Kind::kTable) continue;
    for (const auto& [method, size] : node->entries) {
      if (method != "default") check_at(size, [&, &m = method] { (void)find_method(m); });
    }
  }
}

constexpr std::string_view kOverrideMark = "\n# override: ";

/// What overrides add to a study's name: all of them but a name, and where things lie.
std::string variant_of(std::vector<std::string> overrides) {
  std::erase_if(overrides, [](const std::string& text) {
    const std::string key = text.substr(0, text.find_first_of("=."));
    return key == "name" || key == "data" || key == "weights";
  });
  std::ranges::sort(overrides);
  return overrides.empty() ? "" : fmt::format(" {}", fmt::join(overrides, " "));
}

}  // namespace

Study parse_study(const std::string& text,
                  const std::filesystem::path& path,
                  const std::vector<std::string>& overrides) {
  Study study{.path = path, .text = text};
  TomlNode root = parse_with_base(path, study.text);
  const std::set<std::string> sets = named_sets(root);
  const std::vector<Axis> axes = apply_overrides(overrides, root);
  for (const auto& [key, node] : root.entries) study.places[key] = node.place();
  for (const char* key : {"targets", "train_on"}) {
    if (const TomlNode* node = root.find(key)) add_places(*node, key, study.places);
  }
  for (const std::string& override_ : overrides) study.text.append(kOverrideMark) += override_;

  TomlReader toml(root, "a study");
  read_schema(toml, study);
  toml.required("name", study.name);
  study.name += variant_of(overrides);
  read_by_name(toml, "backbone", study.backbone, [&](const TomlNode& node, const std::string& key) {
    return read_value<std::string>(toml, node, key);
  });
  const Range<std::int64_t> sizes{1, 1 << 14};
  const auto read_size = [&](const TomlNode& node, const std::string& key) {
    std::int64_t size = 0;
    toml.read(node, key, size, sizes);
    return size;
  };
  read_by_name(toml, "image_size", study.image_size, read_size);
  read_by_name(toml, "eval_size", study.eval_size, read_size);
  read_precision(toml, study);
  read_train_on(toml, study);
  read_by_name(
      toml, "train_split", study.train_split,
      [&](const TomlNode& node, const std::string& key) { return read_split(toml, node, key); });
  toml.required("targets", study.targets);
  toml.optional("seeds", study.seeds, {{0, kLargestSeed}});
  toml.optional("allow_overlap", study.allow_overlap);
  read_skip(toml, study);
  read_outputs(toml, study);
  read_published(toml, study);
  const auto read_path = [&](const TomlNode& node, const std::string& key) {
    const std::filesystem::path file =
        node.file ? std::filesystem::path(*node.file) : path;  // A base has its own folder.
    return file.parent_path() / read_value<std::string>(toml, node, key);
  };
  read_by_name(toml, "data", study.data, read_path);
  if (const TomlNode* node = toml.find("weights")) study.weights = read_path(*node, "weights");
  for (TomlReader& sweep : toml.tables("sweep")) study.sweeps.push_back(read_sweep(sweep));
  for (TomlReader& profile : toml.tables("profile")) {
    study.profiles.push_back(read_profile(profile));
  }
  toml.reject_unread();
  if (study.sweeps.empty() && study.profiles.empty()) {
    throw ConfigError("{}: a study has no [[sweep]]; add one with a 'method'", path.string());
  }
  check_names(root, study);
  check_targets(root, study);
  check_skip(root, sets, study);
  vary(study, axes);
  check_variants(study);
  return study;
}

std::vector<std::string> recorded_overrides(const std::string& text) {
  std::vector<std::string> overrides;
  for (std::size_t at = text.find(kOverrideMark); at != std::string::npos;
       at = text.find(kOverrideMark, at + 1)) {
    const std::size_t begin = at + kOverrideMark.size();
    overrides.push_back(text.substr(begin, text.find('\n', begin) - begin));
  }
  return overrides;
}

std::string plain_name(const std::string& name, const std::string& text) {
  return name.substr(0, name.size() - variant_of(recorded_overrides(text)).size());
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

std::string Study::place(const std::string& key) const {
  const auto known = places.find(key);
  return known == places.end() ? path.string() : known->second;
}

namespace {

bool is_excluded(const Sweep& sweep, const Setting& setting) {
  return std::ranges::any_of(sweep.exclude, [&](const Setting& excluded) {
    return std::ranges::all_of(excluded, [&](const auto& condition) {
      return std::ranges::find(setting, condition) != setting.end();
    });
  });
}

}  // namespace

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
  if (!sweep.zip.empty()) {
    std::vector<Setting> zipped;
    for (const Setting& setting : result) {
      for (std::size_t i = 0; i < sweep.zip.front().values.size(); ++i) {
        zipped.push_back(setting);
        for (const Axis& axis : sweep.zip) zipped.back().emplace_back(axis.key, axis.values[i]);
      }
    }
    result = std::move(zipped);
  }
  if (!sweep.exclude.empty()) {
    std::erase_if(result, [&](const Setting& setting) { return is_excluded(sweep, setting); });
  }
  return result;
}

}  // namespace assay
