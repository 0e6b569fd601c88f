#include "registry/method_catalogue.h"
#include "runner/commands.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

namespace assay {
namespace {

using nlohmann::json;

/// Of each preset on the papers' backbone.
std::map<std::string, ParameterCounts> published_counts(const MethodDescription& method) {
  const BackboneDescription& backbone = find_backbone("clip-vit-l-14-336");
  std::map<std::string, ParameterCounts> counts;
  for (const auto& [preset, values] : method.presets) {
    counts[preset] =
        resolve_method(method.name + ":" + preset, {}, backbone, backbone.default_image_size)
            .parameters;
  }
  return counts;
}

json describe(const MethodDescription& method) {
  json switches = json::object();
  for (const SwitchDescription& each : method.switches) {
    json& entry = switches[each.name];
    entry = {{"meaning", each.meaning}};
    if (!each.choices.empty()) entry["choices"] = each.choices;
    for (const auto& [preset, values] : method.presets) {
      const auto value = values.find(each.name);
      if (value != values.end()) entry["presets"][preset] = value->second;
    }
  }
  json rows = json::array();
  for (const AblationRow& row : method.rows) {
    rows.push_back({{"name", row.name},
                    {"printed", row.printed},
                    {"switches", row.switches},
                    {"note", row.note}});
  }
  json counts = json::object();
  for (const auto& [preset, parameters] : published_counts(method)) {
    counts[preset] = {{"registered", parameters.registered}, {"trained", parameters.trained}};
  }
  return {{"name", method.name},
          {"rows", rows},
          {"parameters", counts},
          {"paper", method.paper},
          {"trained", method.trained},
          {"default_preset", method.default_preset},
          {"short_names", method.short_names},
          {"switches", switches}};
}

void print_row(const AblationRow& row) {
  std::string changes;
  for (const auto& [name, value] : row.switches) {
    changes += fmt::format("{}{} {}", changes.empty() ? "" : ", ", name, value.dump());
  }
  fmt::print("  {} ({})\n      {}\n", row.name, row.printed,
             changes.empty() ? "nothing: the preset itself" : changes);
  if (!row.note.empty()) fmt::print("      {}\n", row.note);
}

void print_method(const MethodDescription& method) {
  fmt::print("{}: {}\n", method.name, method.paper);
  for (const SwitchDescription& each : method.switches) {
    std::string values;
    for (const auto& [preset, settings] : method.presets) {
      const auto value = settings.find(each.name);
      if (value == settings.end()) continue;
      values += fmt::format("{}{} {}", values.empty() ? "" : ", ", preset, value->second.dump());
    }
    fmt::print("  {:<22} {}\n  {:<22}   {}\n", each.name, each.meaning, "", values);
  }
  for (const auto& [alias, name] : method.short_names) fmt::print("  {} = {}\n", alias, name);
  for (const auto& [preset, counts] : published_counts(method)) {
    if (counts.trained == 0) continue;
    fmt::print("parameters of {} on clip-vit-l-14-336: {} trained, {} as the papers count\n",
               preset, counts.trained, counts.registered);
  }
  if (method.rows.empty()) return;
  fmt::print("rows of its ablations, for grid = {{ row = [...] }}, with what they change:\n");
  for (const AblationRow& row : method.rows) print_row(row);
}

int methods_command(const std::string& name, bool as_json) {
  std::vector<const MethodDescription*> shown;
  if (name.empty()) {
    for (const MethodDescription& method : methods()) shown.push_back(&method);
  } else {
    shown.push_back(&find_method(name));
  }
  if (as_json) {
    json all = json::array();
    for (const MethodDescription* method : shown) all.push_back(describe(*method));
    fmt::print("{}\n", all.dump(2));
    return 0;
  }
  for (const MethodDescription* method : shown) {
    if (!name.empty()) {
      print_method(*method);
      continue;
    }
    std::string presets;
    for (const auto& [preset, settings] : method->presets) presets += " :" + preset;
    fmt::print("{:<12}{:<20} {}\n", method->name, presets, method->paper);
  }
  return 0;
}

}  // namespace

Command add_methods_command(CLI::App& app) {
  const auto name = std::make_shared<std::string>();
  const auto as_json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("methods", "what a study can name, with its switches");
  command->add_option("METHOD", *name, "one of them, with its switches");
  command->add_flag("--json", *as_json, "for machines");
  set_example(*command, "assay methods faprompt");
  return {command, [name, as_json] { return methods_command(*name, *as_json); }};
}

}  // namespace assay
