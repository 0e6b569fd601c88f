#include "datasets/catalogue.h"

#include "core/csv.h"

#include <algorithm>

namespace assay {

extern const char kClassWordsCsv[];  // datasets/class_words.csv, made into C++ by CMake.

namespace {

// Normal and anomalous images of train and test (`spec/dataset_counts.csv`, which agrees with the
// sets' own file lists; FAPrompt's Table 5 prints 83 for tile).
std::vector<CategoryDescription> mvtec_categories() {
  return {{"bottle", {209, 0}, {20, 63}},     {"cable", {224, 0}, {58, 92}},
          {"capsule", {219, 0}, {23, 109}},   {"carpet", {280, 0}, {28, 89}},
          {"grid", {264, 0}, {21, 57}},       {"hazelnut", {391, 0}, {40, 70}},
          {"leather", {245, 0}, {32, 92}},    {"metal_nut", {220, 0}, {22, 93}},
          {"pill", {267, 0}, {26, 141}},      {"screw", {320, 0}, {41, 119}},
          {"tile", {230, 0}, {33, 84}},       {"toothbrush", {60, 0}, {12, 30}},
          {"transistor", {213, 0}, {60, 40}}, {"wood", {247, 0}, {19, 60}},
          {"zipper", {240, 0}, {32, 119}}};
}

std::vector<CategoryDescription> visa_categories() {
  return {{"candle", {900, 0}, {100, 100}},    {"capsules", {542, 0}, {60, 100}},
          {"cashew", {450, 0}, {50, 100}},     {"chewinggum", {453, 0}, {50, 100}},
          {"fryum", {450, 0}, {50, 100}},      {"macaroni1", {900, 0}, {100, 100}},
          {"macaroni2", {900, 0}, {100, 100}}, {"pcb1", {904, 0}, {100, 100}},
          {"pcb2", {901, 0}, {100, 100}},      {"pcb3", {905, 0}, {101, 100}},
          {"pcb4", {904, 0}, {101, 100}},      {"pipe_fryum", {450, 0}, {50, 100}}};
}

struct Words {
  std::string released, readable;
};

/// By `mvtec/metal_nut`; `elpv/*` for every category of a set (`spec/class_words.csv`).
const std::map<std::string, Words>& known_words() {
  static const std::map<std::string, Words> words = [] {
    std::map<std::string, Words> table;
    for (const auto& row : parse_csv(kClassWordsCsv, "class_words.csv")) {
      table[row.at("dataset") + "/" + row.at("category")] = {row.at("default"), row.at("readable")};
    }
    return table;
  }();
  return words;
}

}  // namespace

const std::vector<DatasetDescription>& catalogue() {
  using enum Layout;
  static const std::vector<DatasetDescription> entries = {
      {"mvtec", "MVTec AD", {kMvtec, kMetaJson}, mvtec_categories(), true},
      {"visa", "VisA", {kVisa, kMvtec, kMetaJson}, visa_categories(), true},
      {"elpv", "ELPV", {kElpv}, {{"elpv", {1131, 0}, {377, 715}}}, false},
      {"synth-a", "synthetic set A", {kMvtec}, {}, true},
      {"synth-b", "synthetic set B", {kVisa}, {}, true},
  };
  return entries;
}

DatasetDescription describe_dataset(const std::string& name) {
  using enum Layout;
  const auto entry = std::ranges::find(catalogue(), name, &DatasetDescription::name);
  if (entry != catalogue().end()) return *entry;
  return {name, name, {kMetaJson, kVisa, kMvtec}, {}, false};
}

std::string class_word(const std::string& dataset,
                       const std::string& category,
                       const ClassWords& words) {
  const std::string key = dataset + "/" + category;
  const auto given = words.given.find(key);
  if (given != words.given.end()) return given->second;
  for (const std::string& known : {key, dataset + "/*"}) {
    const auto word = known_words().find(known);
    if (word == known_words().end()) continue;
    return words.readable ? word->second.readable : word->second.released;
  }
  std::string word = category;
  std::ranges::replace(word, '_', ' ');
  return word;
}

std::string layout_name(Layout layout) {
  switch (layout) {
    case Layout::kMvtec: return "the layout of MVTec AD (<category>/test/...)";
    case Layout::kVisa: return "the layout of VisA (split_csv/1cls.csv)";
    case Layout::kElpv: return "the layout of ELPV (labels.csv)";
    case Layout::kMetaJson: return "a meta.json";
  }
  return {};
}

}  // namespace assay
