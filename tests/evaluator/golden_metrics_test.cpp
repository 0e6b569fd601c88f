#include "tests/evaluator/pixel_images.h"
#include "tests/support/golden.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>

namespace assay {
namespace {

constexpr double kTolerance = 1e-9;  // tests/data/golden/README.md, kind metrics.

class GoldenMetrics : public testing::TestWithParam<std::filesystem::path> {
 protected:
  static void TearDownTestSuite() {
    std::cout << "kind metrics: largest difference " << largest_difference_ << "\n";
  }

  void expect_value(const GoldenFile& file,
                    const std::string& name,
                    const std::optional<double>& actual) {
    SCOPED_TRACE(name);
    const double expected = file.tensor(name).item<double>();
    ASSERT_EQ(actual.has_value(), !std::isnan(expected));
    if (!actual) return;
    EXPECT_NEAR(*actual, expected, kTolerance);
    largest_difference_ = std::max(largest_difference_, std::abs(*actual - expected));
  }

 private:
  static inline double largest_difference_ = 0;
};

std::vector<oracle::PixelImage> images_of(const GoldenFile& file, const std::string& set) {
  const at::Tensor maps = file.tensor(set + ".map").contiguous();  // float32 [n, H, W]
  const at::Tensor masks = file.tensor(set + ".mask").contiguous();
  std::vector<oracle::PixelImage> images(maps.size(0));
  for (std::size_t i = 0; i < images.size(); ++i) {
    const at::Tensor map = maps[static_cast<std::int64_t>(i)].flatten();
    const at::Tensor mask = masks[static_cast<std::int64_t>(i)].flatten();
    const auto* scores = map.const_data_ptr<float>();
    const auto* bytes = mask.const_data_ptr<std::uint8_t>();
    images[i] = {static_cast<std::int32_t>(maps.size(1)),
                 static_cast<std::int32_t>(maps.size(2)),
                 {scores, scores + map.numel()},
                 {bytes, bytes + mask.numel()}};
  }
  return images;
}

ImageMetrics image_metrics_of(const GoldenFile& file, const std::string& set) {
  const at::Tensor score = file.tensor(set + ".score").contiguous();
  const at::Tensor label = file.tensor(set + ".label").to(at::kByte);
  const auto n = static_cast<std::size_t>(score.numel());
  return image_metrics({score.const_data_ptr<float>(), n},
                       {label.const_data_ptr<std::uint8_t>(), n});
}

TEST_P(GoldenMetrics, AgreeWithScikitLearnExactFractionsAndTheReleasedFunction) {
  const GoldenFile file = load_golden(GetParam());
  const auto sets = nlohmann::json::parse(file.content.metadata.at("sets"));
  ASSERT_FALSE(sets.empty());
  for (const auto& entry : sets) {
    const auto set = entry.at("name").get<std::string>();
    SCOPED_TRACE(set + ": " + entry.at("note").get<std::string>());

    const ImageMetrics image = image_metrics_of(file, set);
    expect_value(file, set + ".image_auroc", image.auroc);
    expect_value(file, set + ".image_ap", image.ap);
    expect_value(file, set + ".image_f1_max", image.f1max);

    const std::vector<oracle::PixelImage> images = images_of(file, set);
    const PixelMetrics pixel = metrics_of(images);
    expect_value(file, set + ".pixel_auroc", pixel.auroc);
    expect_value(file, set + ".pixel_ap", pixel.ap);
    expect_value(file, set + ".pixel_f1_max", pixel.f1max);
    expect_value(file, set + ".aupro", pixel.aupro);
    expect_value(file, set + ".aupro_cflow200", pixel.aupro_cflow200);
    expect_value(file, set + ".aupro_limit_005", metrics_of(images, {.aupro_limit = 0.05}).aupro);
    expect_value(file, set + ".aupro_limit_1", metrics_of(images, {.aupro_limit = 1}).aupro);
    expect_value(file, set + ".aupro_4conn", metrics_of(images, {}, 4).aupro);
  }
}

INSTANTIATE_TEST_SUITE_P(Files,
                         GoldenMetrics,
                         testing::ValuesIn(golden_files("metrics")),
                         golden_name);

}  // namespace
}  // namespace assay
