#include "core/file.h"
#include "datasets/image.h"
#include "tests/datasets/fixtures.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <cstring>
#include <map>

namespace assay {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// The bytes of every tensor of a `.safetensors` file of unsigned bytes, and its metadata.
struct ByteTensors {
  std::map<std::string, Bytes> tensors;
  nlohmann::json cases;
};

ByteTensors read_golden(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);
  const nlohmann::json header = nlohmann::json::parse(file.substr(8, header_bytes));
  ByteTensors result;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      result.cases = nlohmann::json::parse(entry.at("cases").get<std::string>());
      continue;
    }
    const auto offsets = entry.at("data_offsets").get<std::vector<std::size_t>>();
    const std::string bytes = file.substr(8 + header_bytes + offsets[0], offsets[1] - offsets[0]);
    result.tensors[name] = Bytes(bytes.begin(), bytes.end());
  }
  return result;
}

/// The goldens' input: a pattern plus noise of their generator (golden/README.md).
Image golden_image(const std::string& name, const nlohmann::json& shape) {
  Image image = fixtures::plain_image(shape["width"], shape["height"], Bytes(shape["channels"], 0));
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : "golden/resize/" + name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    std::uint64_t z = hash + (i + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    const std::size_t channels = shape["channels"], width = shape["width"];
    const std::size_t c = i % channels, x = i / channels % width, y = i / channels / width;
    const std::size_t pattern = 3 * x + 2 * y + 50 * c + 90 * ((x / 17 + y / 13) % 2);
    image.pixels[i] = static_cast<std::uint8_t>(pattern % 224 + (z >> 59));
  }
  return image;
}

/// Every `step`-th row and column.
Bytes thinned(const Image& image, std::int32_t step) {
  Bytes result;
  for (std::int32_t y = 0; y < image.height; y += step) {
    for (std::int32_t x = 0; x < image.width; x += step) {
      const auto first = image.pixels.begin() + (y * image.width + x) * image.channels;
      result.insert(result.end(), first, first + image.channels);
    }
  }
  return result;
}

std::vector<std::filesystem::path> golden_files() {
  std::vector<std::filesystem::path> files = {ASSAY_TEST_DATA "/golden/resize.safetensors"};
  if (const char* folder = std::getenv("ASSAY_GOLDEN_DIR")) {
    files.push_back(std::filesystem::path(folder) / "resize.safetensors");
  }
  return files;
}

TEST(ResizeGolden, EqualsPillowToTheByte) {
  for (const std::filesystem::path& path : golden_files()) {
    const ByteTensors golden = read_golden(path);
    for (const auto& [name, shape] : golden.cases.items()) {
      const std::int32_t size = shape["size"];
      const Image resized = resize(golden_image(name, shape), size, size, Interpolation::kBicubic);
      const std::int32_t step = shape["stored"] == "full" ? 1 : 7;
      EXPECT_EQ(thinned(resized, step), golden.tensors.at(name + ".bicubic")) << name;
    }
  }
}

TEST(ResizeGolden, MasksEqualPillowToTheByte) {
  for (const std::filesystem::path& path : golden_files()) {
    const ByteTensors golden = read_golden(path);
    const Image mask{151, 200, 1, golden.tensors.at("mask.input"), {}};
    Image binary = mask;
    for (std::uint8_t& pixel : binary.pixels) pixel = pixel > 0 ? 255 : 0;
    EXPECT_EQ(resize(binary, 98, 98, Interpolation::kBilinear).pixels,
              golden.tensors.at("mask.bilinear"));
    EXPECT_EQ(preprocess_mask(mask, 98), golden.tensors.at("mask.binary"));
  }
}

}  // namespace
}  // namespace assay
