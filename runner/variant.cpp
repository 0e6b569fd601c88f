#include "runner/variant.h"

#include "core/csv.h"
#include "core/error.h"
#include "core/file.h"

#include <algorithm>
#include <array>

namespace assay {
namespace {

constexpr std::string_view kDefaultBackbone = "clip-vit-l-14-336";  // `spec/ablations.md` 1.1.

template <typename T>
T typed(const std::string& key, const nlohmann::json& value, std::string_view expected) {
  const bool right = std::is_same_v<T, std::string> ? value.is_string() : value.is_number_integer();
  if (!right) throw ConfigError("'{}' is {}, expected {}", key, value.dump(), expected);
  return value.get<T>();
}

std::int64_t pixels(const std::string& key, const nlohmann::json& value) {
  const auto size = typed<std::int64_t>(key, value, "a number of pixels");
  if (size < 1) throw ConfigError("'{}' is {}, expected a positive number of pixels", key, size);
  return size;
}

constexpr const char* kWords = "prompt.words";

bool is_file(const nlohmann::json& words) {
  return words.is_string() && words != "default" && words != "readable";
}

/// The words of a CSV file, by `dataset/category`: the identity holds what it says, not its name.
nlohmann::json read_words(const Sweep& sweep, const std::string& name) {
  const std::filesystem::path path = sweep.folder / name;
  if (!std::filesystem::is_regular_file(path)) {
    throw ConfigError("'{}' is '{}', expected default, readable, or a file: {} is none", kWords,
                      name, path.string());
  }
  nlohmann::json words = nlohmann::json::object();
  for (const auto& row : parse_csv(read_file(path), path.string())) {
    for (const char* column : {"dataset", "category", "word"}) {
      if (row.contains(column) && !row.at(column).empty()) continue;
      throw DataError("{}: a row without '{}', expected the columns dataset, category, word",
                      path.string(), column);
    }
    words[row.at("dataset") + "/" + row.at("category")] = row.at("word");
  }
  return words;
}

/// One setting for each value of one axis alone.
void check_axis(const Study& study, const Sweep& sweep, const Axis& axis) {
  for (const nlohmann::json& value : axis.values) {
    try {
      (void)resolve_variant(study, sweep, {{axis.key, value}});
    } catch (const ConfigError& error) {
      throw ConfigError("{}: {}", axis.place, error.what());
    }
  }
}

void check_spellings(const Sweep& sweep) {
  std::vector<std::string> seen;
  for (const std::vector<Axis>* axes : {&sweep.grid, &sweep.zip}) {
    for (const Axis& axis : *axes) {
      const std::string name = switch_name(method_name(sweep.method), axis.key).value_or(axis.key);
      if (std::ranges::find(seen, name) != seen.end()) {
        throw ConfigError("{}: '{}' is varied twice in one sweep", axis.place, axis.key);
      }
      seen.push_back(name);
    }
  }
}

/// Seeds fill whole ensembles.
void check_seeds(const Study& study, const Sweep& sweep) {
  if (!sweep.ensemble) return;
  const auto seeds = static_cast<std::int64_t>(sweep.seeds.value_or(study.seeds).size());
  const std::int64_t n = sweep.ensemble->n == 0 ? seeds : sweep.ensemble->n;
  if (seeds >= 2 && seeds % n == 0) return;
  throw ConfigError("{}: an ensemble of {} checkpoints from {} seeds; expected {}", sweep.place, n,
                    seeds, n < 2 ? "2 seeds or more" : fmt::format("a multiple of {}", n));
}

}  // namespace

std::string method_name(const std::string& method) { return method.substr(0, method.find(':')); }

std::optional<std::string> switch_name(const std::string& method, const std::string& key) {
  const MethodDescription& description = find_method(method);
  if (key == "row" && !description.rows.empty()) return key;
  const auto spelled_short = description.short_names.find(key);
  if (spelled_short != description.short_names.end()) return spelled_short->second;
  std::vector<std::string> by_last_component;
  for (const SwitchDescription& candidate : description.switches) {
    if (candidate.name == key) return key;
    if (candidate.name.ends_with("." + key)) by_last_component.push_back(candidate.name);
  }
  if (by_last_component.size() == 1) return by_last_component.front();
  return std::nullopt;
}

Variant resolve_variant(const Study& study, const Sweep& sweep, const Setting& setting) {
  const std::string name = method_name(sweep.method);
  Variant variant;
  variant.params = nlohmann::json::object();
  std::string backbone = study.backbone.find(name).value_or(std::string(kDefaultBackbone));
  std::optional<std::int64_t> image_size = study.image_size.find(name);
  std::optional<std::int64_t> eval_size = study.eval_size.find(name);
  std::map<std::string, nlohmann::json> switches;
  nlohmann::json words_file;
  for (const auto& [key, value] : setting) {
    if (key == "backbone") {
      backbone = typed<std::string>(key, value, "the name of a backbone");
    } else if (key == "image_size") {
      image_size = pixels(key, value);
    } else if (key == "eval_size") {
      eval_size = pixels(key, value);
    } else {
      switches[key] = value;
      if (switch_name(name, key) == kWords && is_file(value)) {
        switches[key] = read_words(sweep, value);
        words_file = value;
      }
      continue;
    }
    variant.params[key] = value;
  }
  variant.backbone = &find_backbone(backbone);
  variant.image_size = image_size.value_or(variant.backbone->default_image_size);
  variant.eval_size = eval_size.value_or(variant.image_size);
  variant.resolved = resolve_method(sweep.method, switches, *variant.backbone, variant.image_size);
  variant.params.update(variant.resolved.params);
  if (!words_file.is_null()) variant.params[kWords] = words_file;
  return variant;
}

void check_variants(const Study& study) {
  for (const ProfileRequest& profile : study.profiles) {
    for (const std::string& method : profile.methods) {
      try {
        (void)resolve_variant(study, {.method = method}, {});
      } catch (const ConfigError& error) {
        throw ConfigError("{}: {}", profile.place, error.what());
      }
    }
  }
  for (const Sweep& sweep : study.sweeps) {
    // What is wrong without any axis is the sweep's own; then each axis alone has its line.
    try {
      if (sweep.grid.empty() && sweep.zip.empty()) (void)resolve_variant(study, sweep, {});
    } catch (const ConfigError& error) {
      throw ConfigError("{}: {}", sweep.place, error.what());
    }
    check_spellings(sweep);
    check_seeds(study, sweep);
    const std::vector<Setting> all = settings(sweep);
    if (all.empty()) throw ConfigError("{}: 'exclude' leaves nothing of this sweep", sweep.place);
    if (sweep.grid.size() + sweep.zip.size() == 1) {
      for (const Axis& axis : sweep.grid) check_axis(study, sweep, axis);
      for (const Axis& axis : sweep.zip) check_axis(study, sweep, axis);
      continue;
    }
    for (const Setting& setting : all) {
      try {
        (void)resolve_variant(study, sweep, setting);
      } catch (const ConfigError&) {
        // An axis that fails alone is to blame; else it is their combination.
        for (const Axis& axis : sweep.grid) check_axis(study, sweep, axis);
        for (const Axis& axis : sweep.zip) check_axis(study, sweep, axis);
        try {
          (void)resolve_variant(study, sweep, setting);
        } catch (const ConfigError& error) {
          throw ConfigError("{}: {}", sweep.place, error.what());
        }
      }
    }
  }
}

}  // namespace assay
