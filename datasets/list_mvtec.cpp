#include "core/nearest_name.h"
#include "datasets/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace assay {
namespace {

// MVTec AD and most others; BTAD.
bool is_normal_folder(const std::string& name) { return name == "good" || name == "ok"; }

std::string hint(const std::string& nearest) {
  return nearest.empty() ? "" : fmt::format("; did you mean the '{}' that is there?", nearest);
}

std::vector<std::string> categories_of(const DatasetDescription& description,
                                       FolderReader& reader,
                                       Listing& listing) {
  std::vector<std::string> categories;
  const std::vector<std::string>& folders = reader.read("").folders;
  if (description.categories.empty()) {
    for (const std::string& folder : folders) {
      if (reader.has_folder(folder + "/test")) categories.push_back(folder);
    }
    return categories;
  }
  for (const CategoryDescription& category : description.categories) {
    if (reader.has_folder(category.name)) {
      categories.push_back(category.name);
    } else {
      listing.problems.push_back(fmt::format("{}: no such folder{}", category.name,
                                             hint(nearest_name(category.name, folders))));
    }
  }
  return categories;
}

/// Masks of one defect type by the stem of their image: `<stem>_mask` (MVTec AD) or `<stem>`.
class MaskFolder {
 public:
  MaskFolder(FolderReader& reader, std::string folder) : folder_(std::move(folder)) {
    for (const std::string& name : reader.read(folder_).images) {
      names_by_stem_.emplace(stem_of(name), name);
    }
  }

  /// The mask of the image with this stem; a problem where there is none or more than one.
  std::string take(const std::string& image, Listing& listing) {
    std::vector<std::string> matches;
    const std::string stem = stem_of(image);
    for (const std::string& mask_stem : {stem + "_mask", stem}) {
      const auto [begin, end] = names_by_stem_.equal_range(mask_stem);
      for (auto entry = begin; entry != end; ++entry) matches.push_back(entry->second);
    }
    if (matches.size() == 1) {
      taken_.insert(matches.front());
      return folder_ + "/" + matches.front();
    }
    if (matches.empty()) {
      listing.problems.push_back(
          fmt::format("{}: no mask; expected {}/{}_mask.png", image, folder_, stem));
    } else {
      listing.problems.push_back(
          fmt::format("{}: two masks, {} and {}", image, matches[0], matches[1]));
    }
    return {};
  }

  void report_left_over(Listing& listing) const {
    for (const auto& [stem, name] : names_by_stem_) {
      if (taken_.contains(name)) continue;
      listing.problems.push_back(fmt::format("{}/{}: a mask without an image", folder_, name));
    }
  }

 private:
  std::string folder_;
  std::multimap<std::string, std::string> names_by_stem_;
  std::set<std::string> taken_;
};

void report_equal_stems(const std::string& folder,
                        const std::vector<std::string>& images,
                        Listing& listing) {
  for (std::size_t i = 1; i < images.size(); ++i) {
    if (stem_of(images[i]) != stem_of(images[i - 1])) continue;
    listing.problems.push_back(fmt::format("{}/{}: '{}' has the same name but for its extension",
                                           folder, images[i], images[i - 1]));
  }
}

void list_images(const std::string& category,
                 const std::string& part,
                 const std::string& defect_type,
                 MaskFolder* masks,
                 FolderReader& reader,
                 Listing& listing) {
  const std::string folder = fmt::format("{}/{}/{}", category, part, defect_type);
  const std::vector<std::string>& images = reader.read(folder).images;
  report_equal_stems(folder, images, listing);
  for (const std::string& image : images) {
    Sample sample;
    sample.path = folder + "/" + image;
    sample.category = category;
    sample.defect_type = defect_type;
    sample.label = is_normal_folder(defect_type) ? 0 : 1;
    if (masks != nullptr && sample.label == 1) sample.mask_path = masks->take(sample.path, listing);
    listing.manifest.samples.push_back(std::move(sample));
  }
}

void list_test(const std::string& category,
               bool masks_expected,
               FolderReader& reader,
               Listing& listing) {
  const std::string truth = category + "/ground_truth";
  const std::vector<std::string> mask_folders = reader.read(truth).folders;
  for (const std::string& defect_type : reader.read(category + "/test").folders) {
    if (is_normal_folder(defect_type)) {
      list_images(category, "test", defect_type, nullptr, reader, listing);
      continue;
    }
    const std::string folder = truth + "/" + defect_type;
    if (masks_expected && !reader.has_folder(folder)) {
      const bool any = reader.has_folder(truth);
      const std::string nearest = any ? nearest_name(defect_type, mask_folders)
                                      : nearest_name("ground_truth", reader.read(category).folders);
      listing.problems.push_back(
          fmt::format("{}: no such folder, where the masks of {}/test/{} are "
                      "expected{}",
                      any ? folder : truth, category, defect_type, hint(nearest)));
      list_images(category, "test", defect_type, nullptr, reader, listing);
      continue;
    }
    MaskFolder masks(reader, folder);
    list_images(category, "test", defect_type, masks_expected ? &masks : nullptr, reader, listing);
    masks.report_left_over(listing);
  }
  for (const std::string& folder : mask_folders) {
    const std::vector<std::string>& masks = reader.read(truth + "/" + folder).images;
    if (masks.empty() ||
        (!is_normal_folder(folder) && reader.has_folder(category + "/test/" + folder))) {
      continue;
    }
    listing.problems.push_back(fmt::format("{}/{}: {} masks of images that are not anomalous",
                                           truth, folder, masks.size()));
  }
}

// A set without masks is a set of its own kind, but a misspelt folder is not.
bool expects_masks(const DatasetDescription& description,
                   const std::vector<std::string>& categories,
                   FolderReader& reader) {
  return description.must_have_masks ||
         std::ranges::any_of(categories, [&](const std::string& category) {
           return !nearest_name("ground_truth", reader.read(category).folders).empty();
         });
}

}  // namespace

void list_mvtec(const DatasetDescription& description, FolderReader& reader, Listing& listing) {
  const std::vector<std::string> categories = categories_of(description, reader, listing);
  const bool masks_expected = expects_masks(description, categories, reader);
  for (const std::string& category : categories) {
    if (wants(listing, "train")) {
      for (const std::string& folder : reader.read(category + "/train").folders) {
        if (is_normal_folder(folder)) {
          list_images(category, "train", folder, nullptr, reader, listing);
        }
      }
    }
    if (wants(listing, "test")) list_test(category, masks_expected, reader, listing);
  }
}

}  // namespace assay
