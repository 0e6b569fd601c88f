#include "core/file.h"
#include "datasets/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <sstream>

namespace assay {
namespace {

constexpr const char* kTable = "split_csv/1cls.csv";

/// A row of `object,split,label,image,mask`.
struct Row {
  std::string object, split, label, image, mask;
};

std::optional<Row> parse_row(std::string line) {
  if (line.ends_with('\r')) line.pop_back();  // The authors' files have CRLF line ends.
  std::vector<std::string> fields;
  std::stringstream stream(line);
  for (std::string field; std::getline(stream, field, ',');) fields.push_back(field);
  if (fields.size() == 4) fields.emplace_back();  // No mask.
  if (fields.size() != 5) return std::nullopt;
  return Row{fields[0], fields[1], fields[2], fields[3], fields[4]};
}

void add_sample(const Row& row, bool must_have_masks, FolderReader& reader, Listing& listing) {
  const auto problem = [&](const std::string& text) {
    listing.problems.push_back(fmt::format("{}: {}", row.image, text));
  };
  Sample sample{.path = row.image,
                .mask_path = row.mask,
                .category = row.object,
                .defect_type = {},
                .label = row.label == "anomaly" ? 1 : 0,
                .sha256 = {},
                .mask_sha256 = {}};
  if (row.label != "anomaly" && row.label != "normal") {
    problem(fmt::format("label '{}', expected 'normal' or 'anomaly'", row.label));
  }
  if (!reader.has_file(row.image)) problem("no such file");
  if (sample.label == 0 && !row.mask.empty()) problem("a normal image with a mask");
  if (sample.label == 1 && row.mask.empty() && must_have_masks) problem("no mask");
  if (!row.mask.empty()) {
    if (stem_of(row.mask) != stem_of(row.image)) {
      problem(fmt::format("paired with {}, whose name is another", row.mask));
    }
    if (!reader.has_file(row.mask)) problem(fmt::format("its mask {} is not there", row.mask));
  }
  listing.manifest.samples.push_back(std::move(sample));
}

}  // namespace

void list_visa(const DatasetDescription& description, FolderReader& reader, Listing& listing) {
  std::istringstream table(read_file(reader.root() / kTable));
  std::string line;
  std::getline(table, line);
  const std::optional<Row> header = parse_row(line);
  if (!header || header->object != "object" || header->mask != "mask") {
    listing.problems.push_back(
        fmt::format("{}: its first line is not 'object,split,label,image,mask'", kTable));
    return;
  }
  for (std::int64_t number = 2; std::getline(table, line); ++number) {
    if (line.empty() || line == "\r") continue;
    const std::optional<Row> row = parse_row(line);
    if (!row || (row->split != "train" && row->split != "test")) {
      listing.problems.push_back(fmt::format("{}:{}: not a row of the table", kTable, number));
      continue;
    }
    if (wants(listing, row->split)) {
      add_sample(*row, description.must_have_masks, reader, listing);
    }
  }
}

}  // namespace assay
