#include "runner/spec_difference.h"

#include <algorithm>
#include <map>

namespace assay {
namespace {

/// Every scalar (and every empty list or object) by its path.
std::map<std::string, nlohmann::json> fields_of(const nlohmann::json& spec) {
  std::map<std::string, nlohmann::json> fields;
  const nlohmann::json flat = spec.flatten();  // `/switches/cap.K`; `~1` is a slash in a name.
  for (const auto& [path, value] : flat.items()) {
    std::string name = path.substr(std::min<std::size_t>(1, path.size()));
    std::ranges::replace(name, '/', '.');
    for (std::size_t at = name.find("~1"); at != std::string::npos; at = name.find("~1", at)) {
      name.replace(at, 2, "/");
    }
    fields[name] = value;
  }
  return fields;
}

}  // namespace

std::vector<SpecDifference> spec_differences(const nlohmann::json& here,
                                             const nlohmann::json& there) {
  const auto ours = fields_of(here), theirs = fields_of(there);
  std::map<std::string, SpecDifference> differences;
  for (const auto& [field, value] : ours) {
    const auto other = theirs.find(field);
    if (other != theirs.end() && other->second == value) continue;
    differences[field] = {field, value, other == theirs.end() ? nlohmann::json() : other->second};
  }
  for (const auto& [field, value] : theirs) {
    if (!ours.contains(field)) differences[field] = {field, nlohmann::json(), value};
  }
  std::vector<SpecDifference> list;
  for (auto& [field, difference] : differences) list.push_back(std::move(difference));
  return list;
}

}  // namespace assay
