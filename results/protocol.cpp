#include "results/protocol.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>

namespace assay {
namespace {

// Columns of protocol.csv, in the order in which they are read.
constexpr std::array kFields = {"train_sets",    "train_split", "epochs",    "seeds",
                                "backbone",      "image_size",  "eval_size", "sigma",
                                "aupro_variant", "data_profile"};

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + separator.size();
  }
  return parts;
}

std::string as_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number_float() ? fmt::format("{:.4g}", value.get<double>()) : value.dump();
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
std::string by_target(const std::map<std::string, std::string>& values) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& [target, value] : values) ++counts[value];
  const auto usual =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  std::string text = usual->first;
  for (const auto& [target, value] : values) {
    if (value != usual->first) text += fmt::format("; {} for {}", value, target);
  }
  return text;
}

/// Ours, by field: what is not the same in all presets and variants stands side by side.
std::map<std::string, std::string> own_protocol(const std::vector<StudyCell>& cells,
                                                const std::string& method,
                                                const std::set<std::string>& datasets) {
  std::set<std::int64_t> seeds;
  std::map<std::string, std::map<std::string, std::set<std::string>>> found;  // Field, target.
  for (const StudyCell& cell : cells) {
    if (cell.for_curves() || cell.method != method || !datasets.contains(cell.dataset)) continue;
    if (cell.seed) seeds.insert(*cell.seed);
    for (const auto& [field, value] : cell.protocol->items()) {
      found[field][cell.dataset].insert(spelled(field, as_text(value)));
    }
  }
  std::map<std::string, std::string> own;
  for (const auto& [field, targets] : found) {
    std::map<std::string, std::string> values;
    std::vector<std::string> profiles;
    for (const auto& [target, several] : targets) {
      values[target] = fmt::format("{}", fmt::join(several, " / "));
      profiles.push_back(target + " " + values[target]);
    }
    own[field] =
        field == "data_profile" ? fmt::format("{}", fmt::join(profiles, "; ")) : by_target(values);
  }
  if (own.empty()) return own;
  if (!seeds.empty()) own["seeds"] = std::to_string(seeds.size());
  own["aupro_variant"] = "exact, and 200 thresholds as AUPRO-200";
  return own;
}

/// The parts of a printed field that are about our targets: of `mvtec; visa for mvtec` the general
/// value and our exceptions, of `sdd 286/54; elpv 377/715` our sets.
std::string for_targets(const std::string& field,
                        const std::string& printed,
                        const std::set<std::string>& datasets) {
  if (field != "train_sets" && field != "data_profile") return printed;
  std::vector<std::string> kept;
  for (const std::string& part : split(printed, "; ")) {
    const std::size_t exception = part.find(" for ");
    const bool ours = field == "data_profile" ? datasets.contains(part.substr(0, part.find(' ')))
                                              : exception == std::string::npos ||
                                                    datasets.contains(part.substr(exception + 5));
    if (ours) kept.push_back(part);
  }
  return fmt::format("{}", fmt::join(kept, "; "));
}

/// Where a method's numbers come from several sources, the note says which sets are whose:
/// `sets: sdd, elpv; ...` or `sets: all but sdd, elpv; ...`.
bool is_about(const PublishedProtocol& printed, const std::set<std::string>& datasets) {
  for (const std::string& item : split(printed.note, "; ")) {
    if (!item.starts_with("sets: ")) continue;
    const bool all_but = item.starts_with("sets: all but ");
    const std::vector<std::string> named = split(item.substr(all_but ? 14 : 6), ", ");
    return std::ranges::any_of(datasets, [&](const std::string& dataset) {
      return (std::ranges::find(named, dataset) != named.end()) != all_but;
    });
  }
  return true;
}

std::string compare(const std::map<std::string, std::string>& own,
                    const PublishedProtocol& printed,
                    const std::set<std::string>& datasets) {
  std::vector<std::string> differences, unstated;
  for (const std::string field : kFields) {
    const auto ours = own.find(field);
    if (ours == own.end()) continue;
    const std::string theirs = for_targets(field, printed.fields.at(field), datasets);
    if (theirs.empty()) {
      unstated.push_back(fmt::format("{} ({} here)", field, ours->second));
    } else if (theirs != ours->second) {
      differences.push_back(fmt::format("{} {} here, {} there", field, ours->second, theirs));
    }
  }
  if (!unstated.empty()) {
    differences.push_back(fmt::format("not stated there: {}", fmt::join(unstated, ", ")));
  }
  return differences.empty() ? "no difference known"
                             : fmt::format("{}", fmt::join(differences, "; "));
}

}  // namespace

std::vector<std::string> protocol_differences(const std::vector<StudyCell>& cells,
                                              const std::string& method,
                                              const PublishedTable& table,
                                              const std::set<std::string>& datasets) {
  const std::map<std::string, std::string> own = own_protocol(cells, method, datasets);
  std::vector<std::string> lines;
  for (const PublishedProtocol& printed : published_protocols(table, method)) {
    if (!is_about(printed, datasets)) continue;
    lines.push_back(fmt::format("{} in {}, table {}{}: {}", method, table.paper, table.table,
                                printed.source.empty() ? "" : " (" + printed.source + ")",
                                own.empty() ? "not run here" : compare(own, printed, datasets)));
  }
  return lines;
}

}  // namespace assay
