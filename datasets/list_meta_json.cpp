#include "core/error.h"
#include "core/file.h"
#include "datasets/listing.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>

// The index of AnomalyCLIP, FAPrompt, AdaCLIP, TPS and Bayes-PFL (`spec/datasets.md` 3).
namespace assay {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// From a path as somebody's script wrote it to one below the root.
class PathResolver {
 public:
  PathResolver(FolderReader& reader)
      : reader_(reader), root_(fs::weakly_canonical(reader.root())) {}

  enum class Outcome { kFound, kMissing, kOutside };
  struct Result {
    Outcome outcome;
    std::string path;
  };

  Result resolve(std::string text) {
    std::ranges::replace(text, '\\', '/');
    const fs::path path = fs::path(text).lexically_normal();  // Also `//`.
    const fs::path relative = path.is_absolute() ? path.lexically_relative(root_) : path;
    if (stays_below(relative) && reader_.has_file(relative.generic_string())) {
      return {Outcome::kFound, relative.generic_string()};
    }
    // Absolute paths of another machine, and paths that begin with the root's own name.
    fs::path tail;
    for (auto part = path.begin(); part != path.end(); ++part) {
      if (*part != root_.filename()) continue;
      tail.clear();
      for (auto rest = std::next(part); rest != path.end(); ++rest) tail /= *rest;
    }
    if (stays_below(tail) && reader_.has_file(tail.generic_string())) {
      return {Outcome::kFound, tail.generic_string()};
    }
    std::error_code ignored;
    const bool outside = !stays_below(relative) && fs::exists(path, ignored);
    return {outside ? Outcome::kOutside : Outcome::kMissing, {}};
  }

 private:
  static bool stays_below(const fs::path& relative) {
    return !relative.empty() && *relative.begin() != "..";
  }

  FolderReader& reader_;
  fs::path root_;
};

struct Entry {
  Sample sample;
  std::string mask_text;  ///< As written; the file may not exist.
};

/// Appends the entries of one category, or what is wrong with them.
class EntryReader {
 public:
  EntryReader(PathResolver& resolver, Listing& listing) : resolver_(resolver), listing_(listing) {}

  void read(const std::string& category, const Json& json) {
    Entry entry;
    std::string image, category_named;
    try {
      image = json.at("img_path").get<std::string>();
      entry.mask_text = json.at("mask_path").get<std::string>();
      category_named = json.at("cls_name").get<std::string>();
      entry.sample.defect_type = json.at("specie_name").get<std::string>();
      entry.sample.label = json.at("anomaly").get<int>();
    } catch (const Json::exception& error) {
      problem(fmt::format("{}: an entry is not as expected: {}", category, error.what()));
      return;
    }
    if (image.empty()) return;  // Bayes-PFL's placeholder of an empty folder.
    if (category_named != category) {
      problem(
          fmt::format("{}: cls_name '{}' in the list of '{}'", image, category_named, category));
    }
    if (entry.sample.label != 0 && entry.sample.label != 1) {
      problem(fmt::format("{}: anomaly {}, expected 0 or 1", image, entry.sample.label));
    }
    entry.sample.category = category;
    entry.sample.path = resolve(image);
    if (!entry.sample.path.empty()) entries_.push_back(std::move(entry));
  }

  /// Masks at the end: where no anomalous image has one, the set has none; some scripts write
  /// paths of masks that were never drawn.
  void finish() {
    bool any = false;
    for (const Entry& entry : entries_) {
      any |= entry.sample.label == 1 && !entry.mask_text.empty() &&
             resolver_.resolve(entry.mask_text).outcome == PathResolver::Outcome::kFound;
    }
    for (Entry& entry : entries_) {
      const bool anomalous = entry.sample.label == 1;
      if (anomalous && any && !entry.mask_text.empty()) {
        entry.sample.mask_path = resolve(entry.mask_text);
      }
      if (!anomalous && !entry.mask_text.empty() &&
          resolver_.resolve(entry.mask_text).outcome == PathResolver::Outcome::kFound) {
        problem(fmt::format("{}: a normal image with a mask", entry.sample.path));
      }
      listing_.manifest.samples.push_back(std::move(entry.sample));
    }
  }

 private:
  void problem(std::string text) { listing_.problems.push_back("meta.json: " + std::move(text)); }

  std::string resolve(const std::string& text) {
    const PathResolver::Result result = resolver_.resolve(text);
    if (result.outcome == PathResolver::Outcome::kMissing) {
      problem(fmt::format("{}: no such file", text));
    } else if (result.outcome == PathResolver::Outcome::kOutside) {
      problem(fmt::format("{}: outside of the data set's folder; refused", text));
    }
    return result.path;
  }

  PathResolver& resolver_;
  Listing& listing_;
  std::vector<Entry> entries_;
};

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

fs::path meta_json_path(const fs::path& root) {
  const fs::path folder = fs::absolute(root).lexically_normal();
  const fs::path named = folder.has_filename() ? folder : folder.parent_path();
  const fs::path beside =
      named.parent_path() / fmt::format("meta_{}.json", named.filename().string());
  std::error_code ignored;
  for (const fs::path& path : {root / "meta.json", beside}) {
    if (fs::is_regular_file(path, ignored)) return path;
  }
  return {};
}

void list_meta_json(FolderReader& reader, Listing& listing) {
  const fs::path path = meta_json_path(reader.root());
  Json index;
  try {
    index = Json::parse(read_file(path));
  } catch (const Json::exception& error) {
    throw DataError("{}: not JSON: {}", path.string(), error.what());
  }
  PathResolver resolver(reader);
  EntryReader entries(resolver, listing);
  for (const auto& [split, categories] : index.items()) {
    if (!wants(listing, lower_case(split))) continue;  // DAGM's script writes `Test`.
    for (const auto& [category, list] : categories.items()) {
      for (const Json& entry : list) entries.read(category, entry);
    }
  }
  entries.finish();
}

}  // namespace assay
