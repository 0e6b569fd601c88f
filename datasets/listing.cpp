#include "datasets/listing.h"

#include "core/error.h"
#include "core/nearest_name.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace assay {
namespace {

namespace fs = std::filesystem;

bool is_system_file(const std::string& name) {
  return name.starts_with(".") || name == "Thumbs.db" || name == "desktop.ini" ||
         name == "__MACOSX";
}

bool is_image_name(const std::string& name) {
  constexpr std::array<std::string_view, 6> kExtensions = {".png", ".jpg",  ".jpeg",
                                                           ".bmp", ".tiff", ".tif"};
  std::string extension = fs::path(name).extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::ranges::find(kExtensions, extension) != kExtensions.end();
}

struct FoundLayout {
  fs::path root;
  Layout layout;
};

// The folder itself, or the only folder in it that has one of the layouts: archives often nest.
FoundLayout find_layout(const DatasetDescription& description, const fs::path& root) {
  std::vector<FoundLayout> found;
  const auto look = [&](const fs::path& folder) {
    FolderReader reader(folder);
    for (const Layout layout : description.layouts) {
      if (!has_layout(reader, layout)) continue;
      found.push_back({folder, layout});
      return;
    }
  };
  look(root);
  if (found.empty()) {
    FolderReader reader(root);
    for (const std::string& folder : reader.read("").folders) look(root / folder);
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1) {
    throw DataError("{}: {} data sets in it ({}, {}); name one of them", root.string(),
                    found.size(), found[0].root.filename().string(),
                    found[1].root.filename().string());
  }
  std::vector<std::string> expected;
  for (const Layout layout : description.layouts) expected.push_back(layout_name(layout));
  throw DataError("{}: not a folder of '{}'; expected {}", root.string(), description.name,
                  fmt::join(expected, " or "));
}

void check_known(const std::string& dataset, const fs::path& root) {
  std::error_code ignored;
  if (fs::is_directory(root, ignored)) return;
  std::vector<std::string> known;
  for (const DatasetDescription& entry : catalogue()) known.push_back(entry.name);
  if (std::ranges::find(known, dataset) != known.end()) {
    throw DataError("{}: no such folder; '{}' is expected there", root.string(), dataset);
  }
  const std::string nearest = nearest_name(dataset, known);
  throw ConfigError(
      "'{}' is not a data set{}; known: {}, or a folder with a meta.json or in the layout of MVTec "
      "AD or VisA ({} is not there)",
      dataset, nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
      fmt::join(known, ", "), root.string());
}

void check_counts(const DatasetDescription& description, Listing& listing) {
  std::map<std::string, ImageCounts> found;
  for (const Sample& sample : listing.manifest.samples) {
    (sample.label == 1 ? found[sample.category].anomalous : found[sample.category].normal)++;
  }
  for (const CategoryDescription& category : description.categories) {
    ImageCounts expected;
    for (const auto& [part, counts] :
         {std::pair{"train", category.train}, {"test", category.test}}) {
      if (!wants(listing, part)) continue;
      expected.normal += counts.normal;
      expected.anomalous += counts.anomalous;
    }
    const ImageCounts counts = found[category.name];
    found.erase(category.name);
    if (counts == expected) continue;
    listing.problems.push_back(
        fmt::format("{} ({}): {} normal and {} anomalous images, the catalogue has {} and {}",
                    category.name, listing.manifest.split, counts.normal, counts.anomalous,
                    expected.normal, expected.anomalous));
  }
  if (description.categories.empty()) return;
  for (const auto& [name, counts] : found) {
    listing.problems.push_back(fmt::format("{}: not a category of '{}'", name, description.name));
  }
}

void check_paths(Listing& listing) {
  const std::vector<Sample>& samples = listing.manifest.samples;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    if (samples[i].path == samples[i - 1].path) {
      listing.problems.push_back(fmt::format("{}: listed twice", samples[i].path));
    }
  }
  if (samples.empty()) {
    listing.problems.push_back(fmt::format("no image in split '{}'", listing.manifest.split));
  }
}

}  // namespace

const FolderContent& FolderReader::read(const std::string& folder) {
  const auto known = read_.find(folder);
  if (known != read_.end()) return known->second;
  FolderContent& content = read_[folder];
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(root_ / folder, error)) {
    const std::string name = entry.path().filename().string();
    if (is_system_file(name)) {
      ++num_system_files_;
    } else if (entry.is_directory(error)) {
      content.folders.push_back(name);
    } else {
      (is_image_name(name) ? content.images : content.others).push_back(name);
    }
  }
  std::ranges::sort(content.folders);
  std::ranges::sort(content.images);
  std::ranges::sort(content.others);
  return content;
}

bool FolderReader::has_folder(const std::string& folder) {
  const fs::path path(folder);
  return std::ranges::binary_search(read(path.parent_path().string()).folders,
                                    path.filename().string());
}

bool FolderReader::has_file(const std::string& file) {
  const fs::path path(file);
  const FolderContent& content = read(path.parent_path().string());
  const std::string name = path.filename().string();
  return std::ranges::binary_search(content.images, name) ||
         std::ranges::binary_search(content.others, name);
}

bool wants(const Listing& listing, const std::string& part) {
  return listing.manifest.split == "all" || listing.manifest.split == part;
}

std::string stem_of(const std::string& path) { return fs::path(path).stem().string(); }

bool has_layout(FolderReader& reader, Layout layout) {
  switch (layout) {
    case Layout::kMvtec:
      return std::ranges::any_of(reader.read("").folders, [&](const std::string& folder) {
        return reader.has_folder(folder + "/test");
      });
    case Layout::kVisa: return reader.has_file("split_csv/1cls.csv");
    case Layout::kElpv: return !elpv_labels_path(reader).empty();
    case Layout::kMetaJson: return !meta_json_path(reader.root()).empty();
  }
  return false;
}

Listing list_dataset(const std::string& dataset, const fs::path& root, const std::string& split) {
  if (split != "train" && split != "test" && split != "all") {
    throw ConfigError("'{}' is not a split; known: train, test, all", split);
  }
  check_known(dataset, root);
  const DatasetDescription description = describe_dataset(dataset);
  const FoundLayout found = find_layout(description, root);
  FolderReader reader(found.root);
  Listing listing;
  listing.manifest.dataset = dataset;
  listing.manifest.split = split;
  listing.manifest.root = found.root;
  switch (found.layout) {
    case Layout::kMvtec: list_mvtec(description, reader, listing); break;
    case Layout::kVisa: list_visa(description, reader, listing); break;
    case Layout::kElpv: list_elpv(reader, listing); break;
    case Layout::kMetaJson: list_meta_json(reader, listing); break;
  }
  std::vector<Sample>& samples = listing.manifest.samples;
  std::ranges::sort(samples, [](const Sample& a, const Sample& b) {
    return std::tie(a.category, a.path) < std::tie(b.category, b.path);
  });
  check_paths(listing);
  check_counts(description, listing);
  for (const Sample& sample : samples) {
    listing.manifest.has_masks |= !sample.mask_path.empty();
    listing.manifest.has_normals |= sample.label == 0;
  }
  if (reader.num_system_files() > 0) {
    listing.notes.push_back(fmt::format("{} system files ignored (._*, .DS_Store, Thumbs.db)",
                                        reader.num_system_files()));
  }
  return listing;
}

}  // namespace assay
