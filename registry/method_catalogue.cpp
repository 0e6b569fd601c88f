#include "registry/method_catalogue.h"

#include "core/error.h"
#include "core/nearest_name.h"
#include "registry/catalogue_entry.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace assay {
namespace {

using Json = nlohmann::json;

const std::vector<CatalogueEntry>& entries() {
  static const std::vector<CatalogueEntry> kEntries = {anomalyclip_entry(), clip_entry(),
                                                       faprompt_entry()};
  return kEntries;
}

// `'winklip' is not a method; did you mean 'winclip'? known: ...`
std::string unknown(std::string_view word,
                    const std::string& what,
                    const std::vector<std::string>& known) {
  const std::string near = nearest_name(word, known);
  return fmt::format("'{}' is not {}; {}known: {}", word, what,
                     near.empty() ? "" : fmt::format("did you mean '{}'? ", near),
                     fmt::join(known, ", "));
}

template <typename Map>
std::vector<std::string> keys(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

const CatalogueEntry& find_entry(std::string_view name) {
  std::vector<std::string> known;
  for (const CatalogueEntry& entry : entries()) {
    if (entry.description.name == name) return entry;
    known.push_back(entry.description.name);
  }
  throw ConfigError("{}", unknown(name, "a method", known));
}

std::string last_component(const std::string& name) { return name.substr(name.rfind('.') + 1); }

// By full name, short name or unique last component.
const SwitchDescription& find_switch(const MethodDescription& method, const std::string& name) {
  const auto spelled_short = method.short_names.find(name);
  const std::string& full =
      spelled_short == method.short_names.end() ? name : spelled_short->second;
  std::vector<const SwitchDescription*> by_last_component;
  std::vector<std::string> known = keys(method.short_names);
  for (const SwitchDescription& candidate : method.switches) {
    if (candidate.name == full) return candidate;
    if (last_component(candidate.name) == name) by_last_component.push_back(&candidate);
    known.push_back(candidate.name);
  }
  if (by_last_component.size() == 1) return *by_last_component.front();
  if (by_last_component.size() > 1) {
    throw ConfigError("'{}' may be the switch '{}' or '{}' of {}; give the whole name", name,
                      by_last_component[0]->name, by_last_component[1]->name, method.name);
  }
  for (const SwitchDescription& candidate : method.switches) {
    known.push_back(last_component(candidate.name));
  }
  const std::string near = nearest_name(name, known);
  throw ConfigError("'{}' is not a switch of {}; {}", name, method.name,
                    near.empty() ? fmt::format("known: {}", fmt::join(known, ", "))
                                 : fmt::format("did you mean '{}'?", near));
}

std::string range_of(const SwitchDescription& description) {
  std::string range;
  if (description.minimum > -1e300) range += fmt::format(" of at least {}", description.minimum);
  if (description.maximum < 1e300) range += fmt::format(" and at most {}", description.maximum);
  return range;
}

std::string expected_value(const SwitchDescription& description) {
  const Json& example = description.example;
  const Json& one = example.is_array() ? example[0] : example;
  std::string words;
  if (!description.choices.empty()) {
    words = fmt::format("one of {}", Json(description.choices).dump());
  } else if (one.is_string()) {
    words = "a string";
  } else if (one.is_boolean()) {
    words = "true or false";
  } else if (one.is_number_integer()) {
    words = "an integer" + range_of(description);
  } else {
    words = "a number" + range_of(description);
  }
  if (description.is_set) {
    words = "a list of different values, each " + words;
  } else if (example.is_array()) {
    words = fmt::format("a list of {} values, each {}", example.size(), words);
  }
  if (!description.keywords.empty()) {
    words += fmt::format(", or {}", Json(description.keywords).dump());
  }
  if (description.may_be_table) words += ", or a file";
  return words;
}

// `value` as one entry of a switch: integers become floats where the switch is one, so that 4 and
// 4.0 are one job. Nothing where it does not fit.
std::optional<Json> normal_entry(const SwitchDescription& description,
                                 const Json& example,
                                 const Json& value) {
  const bool same_type = example.is_number_float()     ? value.is_number()
                         : example.is_number_integer() ? value.is_number_integer()
                                                       : value.type() == example.type();
  if (!same_type) return std::nullopt;
  const auto& choices = description.choices;
  if (!choices.empty() && std::ranges::find(choices, value) == choices.end()) return std::nullopt;
  if (value.is_number() && !(value >= description.minimum && value <= description.maximum)) {
    return std::nullopt;
  }
  return example.is_number_float() ? Json(value.get<double>()) : value;
}

std::optional<Json> normal_value(const SwitchDescription& description, const Json& value) {
  if (value.is_string() &&
      std::ranges::count(description.keywords, value.get<std::string>()) == 1) {
    return value;
  }
  if (description.may_be_table && value.is_object() &&
      std::ranges::all_of(value, [](const Json& word) { return word.is_string(); })) {
    return value;
  }
  if (!description.example.is_array()) {
    return normal_entry(description, description.example, value);
  }
  const Json list = description.is_set && !value.is_array() ? Json::array({value}) : value;
  if (!list.is_array() || list.empty()) return std::nullopt;
  if (!description.is_set && list.size() != description.example.size()) return std::nullopt;
  Json normal = Json::array();
  for (const Json& entry : list) {
    const auto checked = normal_entry(description, description.example[0], entry);
    if (!checked) return std::nullopt;
    normal.push_back(*checked);
  }
  if (description.is_set) {
    std::sort(normal.begin(), normal.end());
    if (std::adjacent_find(normal.begin(), normal.end()) != normal.end()) return std::nullopt;
  }
  return normal;
}

// Takes the axis `row` out of the overrides; nothing where there is none.
const AblationRow* take_row(const MethodDescription& method, std::map<std::string, Json>& given) {
  const auto named = given.find("row");
  if (named == given.end() || method.rows.empty()) return nullptr;
  const Json name = named->second;
  given.erase(named);
  std::vector<std::string> known;
  for (const AblationRow& row : method.rows) {
    if (name == row.name) return &row;
    known.push_back(row.name);
  }
  throw ConfigError("{}", unknown(name.is_string() ? name.get<std::string>() : name.dump(),
                                  "a row of " + method.name, known));
}

Json checked_overrides(const MethodDescription& method, const std::map<std::string, Json>& given) {
  Json overrides = Json::object();
  for (const auto& [name, value] : given) {
    const SwitchDescription& description = find_switch(method, name);
    const auto normal = normal_value(description, value);
    if (!normal) {
      throw ConfigError("switch '{}' of {} is {}, expected {}", description.name, method.name,
                        value.dump(), expected_value(description));
    }
    if (overrides.contains(description.name)) {
      throw ConfigError("switch '{}' of {} is given twice, once as '{}'; give it once",
                        description.name, method.name, name);
    }
    overrides[description.name] = *normal;
  }
  return overrides;
}

// Values that follow from the backbone (spec/ablations.md 1.1): keywords, and what a preset states
// for ViT-L/14 at 518 px.
void fit_to_backbone(Json& switches,
                     const Json& overrides,
                     const BackboneDescription& backbone,
                     std::int64_t image_size) {
  const auto preset_has = [&](const char* name) {
    return switches.contains(name) && !overrides.contains(name);
  };
  if (preset_has("text.deep_depth")) {
    const auto depth = switches["text.deep_depth"].get<std::int64_t>();
    switches["text.deep_depth"] = std::min(depth, backbone.text_layers);
  }
  if (preset_has("infer.sigma") && backbone.name == "assay-tiny") {
    const auto sigma = switches["infer.sigma"].get<double>();
    switches["infer.sigma"] = sigma * static_cast<double>(image_size) / 518;
  }
  // A preset states what the papers ran, OpenAI's weights: GELU on weights that need it.
  if (preset_has("vis.activation") && backbone.activation == "gelu") {
    switches["vis.activation"] = "gelu";
  }
  if (switches.value("vis.first_block", Json()) == "auto") {
    switches["vis.first_block"] = backbone.first_vv_block;
  }
  if (!switches.contains("vis.layers")) return;
  Json& layers = switches["vis.layers"];
  if (layers == "last") layers = Json::array({backbone.vision_layers});
  if (layers == "quarters") layers = backbone.taps;
  if (layers.back() > backbone.vision_layers) {
    throw ConfigError("switch 'vis.layers' is {}, expected blocks of {}, which has {}",
                      layers.dump(), backbone.name, backbone.vision_layers);
  }
}

}  // namespace

const std::vector<MethodDescription>& methods() {
  static const std::vector<MethodDescription> kMethods = [] {
    std::vector<MethodDescription> all;
    for (const CatalogueEntry& entry : entries()) all.push_back(entry.description);
    return all;
  }();
  return kMethods;
}

const MethodDescription& find_method(std::string_view name) { return find_entry(name).description; }

ResolvedMethod resolve_method(std::string_view name_and_preset,
                              const std::map<std::string, Json>& given,
                              const BackboneDescription& backbone,
                              std::int64_t image_size) {
  const std::size_t colon = name_and_preset.find(':');
  const CatalogueEntry& entry = find_entry(name_and_preset.substr(0, colon));
  const MethodDescription& method = entry.description;
  const std::string preset_name = colon == std::string_view::npos
                                      ? method.default_preset
                                      : std::string(name_and_preset.substr(colon + 1));
  const auto preset = method.presets.find(preset_name);
  if (preset == method.presets.end()) {
    throw ConfigError("{}",
                      unknown(preset_name, "a preset of " + method.name, keys(method.presets)));
  }
  if (image_size < backbone.patch || image_size % backbone.patch != 0) {
    throw ConfigError("image_size is {} px, expected a multiple of {}, the patch of {}", image_size,
                      backbone.patch, backbone.name);
  }

  ResolvedMethod resolved{.method = method.name, .preset = preset_name, .trained = method.trained};
  std::map<std::string, Json> overrides = given;
  const AblationRow* row = take_row(method, overrides);
  resolved.params = checked_overrides(method, overrides);
  resolved.switches = preset->second;
  if (row != nullptr) resolved.switches.update(Json(row->switches));
  resolved.switches.update(resolved.params);
  fit_to_backbone(resolved.switches, resolved.params, backbone, image_size);
  entry.check(resolved.switches, backbone, image_size);
  resolved.effective = entry.effective(resolved.switches);
  resolved.training = entry.training(resolved.effective);
  resolved.features = entry.features(resolved.switches, backbone, image_size);
  resolved.training_features =
      entry.training_features == nullptr
          ? resolved.features
          : entry.training_features(resolved.switches, backbone, image_size);
  if (image_size == backbone.patch * backbone.native_grid) {  // Nothing is resized.
    for (Json* identity : {&resolved.effective, &resolved.training}) {
      erase(*identity, {"vis.pos_resize"});
    }
    resolved.features.pos_resize = resolved.training_features.pos_resize = "bilinear";
  }
  if (entry.parameters != nullptr) {
    resolved.parameters = entry.parameters(resolved.switches, backbone);
  }
  if (entry.notes != nullptr) resolved.notes = entry.notes(resolved.switches);
  if (row != nullptr) {
    resolved.params["row"] = row->name;
    if (!row->note.empty()) {
      resolved.notes.push_back(fmt::format("row '{}' is {}", row->name, row->note));
    }
  }
  return resolved;
}

}  // namespace assay
