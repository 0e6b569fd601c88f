#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace assay {

/// How a data set lies on disk.
enum class Layout {
  kMvtec,     ///< `<category>/{train/good, test/<defect>, ground_truth/<defect>}`.
  kVisa,      ///< `split_csv/1cls.csv` and what it names.
  kElpv,      ///< `labels.csv` and `images/`, with the split of `spec/datasets.md` 4.9.
  kMetaJson,  ///< `meta.json` of the AnomalyCLIP family (`spec/datasets.md` 3).
};

/// Images of one category and split.
struct ImageCounts {
  std::int64_t normal = 0, anomalous = 0;
  bool operator==(const ImageCounts&) const = default;
};

struct CategoryDescription {
  std::string name;
  ImageCounts train, test;  ///< As published (`spec/dataset_counts.csv`).
};

/// What is known of a data set before its folder is seen.
struct DatasetDescription {
  std::string name;                             ///< What a study says: `mvtec`.
  std::string title;                            ///< What people call it: `MVTec AD`.
  std::vector<Layout> layouts;                  ///< That are looked for, in this order.
  std::vector<CategoryDescription> categories;  ///< Empty: whatever the folder holds.
  bool must_have_masks = false;                 ///< A missing mask is an error.
};

/// The data sets known by name.
[[nodiscard]] const std::vector<DatasetDescription>& catalogue();

/// The entry of `name`; for another name the description of a folder of the user's own: a
/// meta.json, or the layout of VisA or MVTec AD.
[[nodiscard]] DatasetDescription describe_dataset(const std::string& name);

/// Which [cls] words class-aware prompts name categories by (`prompt.words`).
struct ClassWords {
  bool readable = false;                     ///< Column readable_word, not default_word.
  std::map<std::string, std::string> given;  ///< By `mvtec/metal_nut`; before both.
};

/// The [cls] word of a category in prompts: by default that of the released code, of every set of
/// `datasets/class_words.csv`; in sets of our own and the user's the folder's name with blanks for
/// underscores.
[[nodiscard]] std::string class_word(const std::string& dataset,
                                     const std::string& category,
                                     const ClassWords& words = {});

/// `MVTec AD layout`, for messages.
[[nodiscard]] std::string layout_name(Layout layout);

}  // namespace assay
