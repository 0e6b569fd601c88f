#include "tests/datasets/tree.h"

#include "core/file.h"
#include "tests/datasets/fixtures.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <ranges>

namespace assay::fixtures {

void write_numbered_image(const std::filesystem::path& path, int number) {
  const auto byte = static_cast<std::uint8_t>(number);
  write_png(path, plain_image(6, 4, {byte, 100, 50}));
}

void write_mask(const std::filesystem::path& path, int value) {
  Image mask = plain_image(6, 4, {0});
  mask.pixels[1] = static_cast<std::uint8_t>(value);
  write_png(path, mask);
}

void make_mvtec_tree(const std::filesystem::path& root) {
  int number = 0;
  for (const std::string category : {"bottle", "zipper"}) {
    const std::filesystem::path folder = root / category;
    write_numbered_image(folder / "train/good/000.png", ++number);
    write_numbered_image(folder / "test/good/000.png", ++number);
    write_numbered_image(folder / "test/good/001.PNG", ++number);
    for (const std::string defect_type : {"broken", "bent"}) {
      write_numbered_image(folder / "test" / defect_type / "000.png", ++number);
      write_mask(folder / "ground_truth" / defect_type / "000_mask.png", 255);
    }
  }
  write_file_atomically(root / "license.txt", "text");
}

void make_visa_tree(const std::filesystem::path& root) {
  std::string table = "object,split,label,image,mask\r\n";
  int number = 50;
  for (const std::string category : {"candle", "pcb1"}) {
    for (const std::string split : {"train", "test"}) {
      const std::string image =
          fmt::format("{}/Data/Images/Normal/000{}.JPG", category, split == "train" ? 0 : 1);
      write_jpeg(root / image, plain_image(6, 4, {static_cast<std::uint8_t>(number += 9), 9, 99}));
      table += fmt::format("{},{},normal,{},\r\n", category, split, image);
    }
    const std::string image = category + "/Data/Images/Anomaly/000.JPG";
    const std::string mask = category + "/Data/Masks/Anomaly/000.png";
    write_jpeg(root / image, plain_image(6, 4, {static_cast<std::uint8_t>(number += 9), 9, 99}));
    write_mask(root / mask, 3);
    table += fmt::format("{},test,anomaly,{},{}\r\n", category, image, mask);
  }
  write_file_atomically(root / "split_csv/1cls.csv", table);
}

void make_elpv_tree(const std::filesystem::path& root, bool with_images) {
  std::filesystem::create_directories(root / "images");
  std::string table;
  int number = 0;
  for (const char c : read_file(ASSAY_TEST_DATA "/elpv_classes.txt")) {
    if (c == '\n') continue;
    const bool mono = c < 'a';
    const double probability = (c - (mono ? '0' : 'a')) / 3.0;
    const std::string path = fmt::format("images/cell{:04}.png", ++number);
    if (with_images) std::ofstream(root / path) << path;
    table += fmt::format("{}  {:<20} {}\n", path, probability, mono ? "mono" : "poly");
  }
  write_file_atomically(root / "labels.csv", table);
}

void write_meta_json(const std::filesystem::path& path,
                     const std::vector<Manifest>& splits,
                     const std::string& prefix) {
  nlohmann::json index;
  for (const Manifest& manifest : splits) {
    nlohmann::json& split = index[manifest.split] = nlohmann::json::object();
    for (const Sample& sample : std::views::reverse(manifest.samples)) {
      split[sample.category].push_back(
          {{"img_path", prefix + sample.path},
           {"mask_path", sample.mask_path.empty() ? "" : prefix + sample.mask_path},
           {"cls_name", sample.category},
           {"specie_name", sample.defect_type},
           {"anomaly", sample.label},
           {"dataset_name", "ignored"}});
    }
  }
  write_file_atomically(path, index.dump(4) + "\n");
}

}  // namespace assay::fixtures
