#include "results/protocol.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace assay {
namespace {

// Columns of protocol.csv, in the order in which they are read.
constexpr std::array kFields = {"train_sets",    "train_split", "epochs",    "seeds",
                                "backbone",      "image_size",  "eval_size", "sigma",
                                "aupro_variant", "data_profile"};

std::string as_text(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// Our words in the papers' spelling.
std::string spelled(const std::string& field, const std::string& value) {
  static const std::map<std::string, std::string> kSpelling = {
      {"clip-vit-l-14-336", "ViT-L/14@336px"}, {"all", "train+test"}};
  if (field != "backbone" && field != "train_split") return value;
  const auto known = kSpelling.find(value);
  return known == kSpelling.end() ? value : known->second;
}

/// `mvtec; visa for mvtec`: the most frequent value, then the targets that have another.
std::string by_target(const std::map<std::string, std::set<std::string>>& values) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& [target, found] : values) ++counts[fmt::format("{}", fmt::join(found, " / "))];
  const auto usual =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  if (usual == counts.end()) return "";
  std::string text = usual->first;
  for (const auto& [target, found] : values) {
    const std::string own = fmt::format("{}", fmt::join(found, " / "));
    if (own != usual->first) text += fmt::format("; {} for {}", own, target);
  }
  return text;
}

/// Ours, by field.
std::map<std::string, std::string> own_protocol(const std::vector<StudyCell>& cells,
                                                const std::string& method) {
  std::map<std::string, std::string> own;
  std::set<std::int64_t> seeds;
  std::map<std::string, std::map<std::string, std::set<std::string>>> by_field;
  for (const StudyCell& cell : cells) {
    if (cell.method != method) continue;
    if (cell.seed) seeds.insert(*cell.seed);
    for (const auto& [field, value] : cell.protocol.items()) {
      by_field[field][cell.dataset].insert(spelled(field, as_text(value)));
    }
  }
  for (const auto& [field, targets] : by_field) own[field] = by_target(targets);
  own["data_profile"].clear();
  for (const auto& [target, profiles] : by_field["data_profile"]) {
    own["data_profile"] += fmt::format("{}{} {}", own["data_profile"].empty() ? "" : "; ", target,
                                       fmt::join(profiles, " / "));
  }
  if (!seeds.empty()) own["seeds"] = std::to_string(seeds.size());
  own["aupro_variant"] = "exact; the releases' 200 thresholds as AUPRO-200";
  return own;
}

/// `mvtec; visa for mvtec` without the exceptions for targets that are not ours.
std::string for_targets(const std::string& theirs, const std::set<std::string>& targets) {
  std::string kept;
  for (std::size_t begin = 0; begin < theirs.size();) {
    const std::size_t end = std::min(theirs.find("; ", begin), theirs.size());
    const std::string part = theirs.substr(begin, end - begin);
    const std::size_t exception = part.find(" for ");
    if (exception == std::string::npos || targets.contains(part.substr(exception + 5))) {
      kept += (kept.empty() ? "" : "; ") + part;
    }
    begin = end + 2;
  }
  return kept;
}

/// Whether every profile of ours (`elpv 377/715; ...`) stands among theirs.
bool has_profiles(const std::string& theirs, const std::string& ours) {
  std::size_t begin = 0;
  while (begin < ours.size()) {
    const std::size_t end = std::min(ours.find("; ", begin), ours.size());
    if (theirs.find(ours.substr(begin, end - begin)) == std::string::npos) return false;
    begin = end + 2;
  }
  return true;
}

}  // namespace

std::vector<std::string> protocol_differences(const std::vector<StudyCell>& cells,
                                              const std::string& method,
                                              const PublishedTable& table) {
  const std::map<std::string, std::string> own = own_protocol(cells, method);
  std::set<std::string> targets;
  for (const StudyCell& cell : cells) targets.insert(cell.dataset);
  std::vector<std::string> lines;
  for (const PublishedProtocol& printed : published_protocols(table, method)) {
    std::vector<std::string> differences;
    for (const std::string field : kFields) {
      const auto ours = own.find(field);
      if (ours == own.end() || ours->second.empty()) continue;
      const std::string& theirs = printed.fields.at(field);
      const bool equal = field == "data_profile" ? has_profiles(theirs, ours->second)
                                                 : for_targets(theirs, targets) == ours->second;
      if (equal && !theirs.empty()) continue;
      differences.push_back(fmt::format("{} {} here, {} there", field, ours->second,
                                        theirs.empty() ? "not stated" : theirs));
    }
    lines.push_back(fmt::format("{} in {}, table {}{}: {}{}", method, table.paper, table.table,
                                printed.source.empty() ? "" : " (" + printed.source + ")",
                                differences.empty()
                                    ? "no difference known"
                                    : fmt::format("{}", fmt::join(differences, "; ")),
                                printed.note.empty() ? "" : " [" + printed.note + "]"));
  }
  return lines;
}

}  // namespace assay
