#include "core/digest.h"
#include "core/file.h"
#include "datasets/listing.h"
#include "datasets/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace assay {
namespace {

// SHA-256 of the sorted paths of the papers' 377 normal test images (`spec/datasets.md` 4.9).
constexpr const char* kTestNormalsDigest =
    "577a749c09d5bb3b19b6d1782879f135cfa639948dc36cb6fa588c49ae5b0fda";

struct Labels {
  std::vector<std::string> normal, anomalous;  ///< Paths relative to the table, in its order.
};

// Columns are split by runs of blanks: path, probability of a defect, mono or poly. Probabilities
// of 1/3 and 2/3 are dropped, as FAPrompt and DRA do.
Labels read_labels(const std::string& table_path, FolderReader& reader, Listing& listing) {
  Labels labels;
  std::istringstream table(read_file(reader.root() / table_path));
  std::int64_t number = 0;
  for (std::string line; std::getline(table, line);) {
    ++number;
    std::istringstream fields(line);
    std::string path, type;
    double probability = 0.0;
    if (!(fields >> path)) continue;
    if (!(fields >> probability >> type) || (type != "mono" && type != "poly")) {
      listing.problems.push_back(fmt::format(
          "{}:{}: expected a path, a probability and 'mono' or 'poly'", table_path, number));
      continue;
    }
    if (probability == 0.0) labels.normal.push_back(path);
    if (probability == 1.0) labels.anomalous.push_back(path);
  }
  return labels;
}

std::vector<std::string> pick(const std::vector<std::string>& paths,
                              const std::vector<std::int64_t>& indices) {
  std::vector<std::string> picked;
  for (const std::int64_t index : indices) picked.push_back(paths[static_cast<std::size_t>(index)]);
  return picked;
}

std::string digest_of_lines(std::vector<std::string> lines) {
  std::ranges::sort(lines);
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return sha256(text);
}

}  // namespace

std::string elpv_labels_path(FolderReader& reader) {
  for (const char* path : {"labels.csv", "src/elpv_dataset/data/labels.csv"}) {
    if (reader.has_file(path)) return path;
  }
  return {};
}

void list_elpv(FolderReader& reader, Listing& listing) {
  const std::string table_path = elpv_labels_path(reader);
  const std::filesystem::path folder = std::filesystem::path(table_path).parent_path();
  const Labels labels = read_labels(table_path, reader, listing);
  const QuarterSplit split = quarter_split(static_cast<std::int64_t>(labels.normal.size()));

  const auto add = [&](const std::vector<std::string>& paths, int label) {
    for (const std::string& path : paths) {
      Sample sample;
      sample.path = (folder / path).generic_string();
      sample.category = "elpv";
      sample.label = label;
      if (!reader.has_file(sample.path)) {
        listing.problems.push_back(fmt::format("{}: no such file", sample.path));
      }
      listing.manifest.samples.push_back(std::move(sample));
    }
  };
  const std::vector<std::string> test_normals = pick(labels.normal, split.test);
  if (digest_of_lines(test_normals) != kTestNormalsDigest) {
    listing.problems.push_back(fmt::format(
        "{}: its normal test images are not the 377 of the papers; is it the original table?",
        table_path));
  }
  if (wants(listing, "train")) add(pick(labels.normal, split.train), 0);
  if (wants(listing, "test")) {
    add(test_normals, 0);
    add(labels.anomalous, 1);
  }
}

}  // namespace assay
