#include "evaluator/measure.h"

#include "core/error.h"
#include "registry/safetensors.h"
#include "tests/evaluator/pixel_images.h"
#include "tests/support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <limits>

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

// The images of the specification with scores and labels beside them.
TensorMap specification_tensors() {
  TensorMap tensors = {{"map", at::empty({4, 16, 16}, at::kFloat)},
                       {"mask", at::empty({4, 16, 16}, at::kByte)},
                       {"score", at::tensor({.35F, .8F, .4F, .1F})},
                       {"label", at::tensor({1, 1, 1, 0}).to(at::kByte)}};
  const std::vector<oracle::PixelImage> images = specification_images();
  for (std::size_t i = 0; i < images.size(); ++i) {
    std::ranges::copy(images[i].scores, tensors["map"].mutable_data_ptr<float>() + i * 256);
    std::ranges::copy(images[i].mask, tensors["mask"].mutable_data_ptr<std::uint8_t>() + i * 256);
  }
  return tensors;
}

class MeasuredFile : public testing::Test {
 protected:
  Measured measured(const TensorMap& tensors, const MeasureOptions& options = {}) {
    write_safetensors(path_, {.tensors = tensors, .metadata = {}});
    return measure(ScoredImages(path_), options);
  }
  void expect_refused(const TensorMap& tensors, const std::string& message) {
    EXPECT_THAT([&] { (void)measured(tensors); },
                ThrowsMessage<DataError>(HasSubstr(path_.string() + ": " + message)));
  }

 private:
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "maps.safetensors";
};

TEST_F(MeasuredFile, HasTheMetricsOfItsMapsAndScores) {
  const TensorMap tensors = specification_tensors();
  const Measured file = measured(tensors);
  EXPECT_EQ(file.metrics.pixel, metrics_of(specification_images()));
  EXPECT_EQ(file.metrics.image,
            image_metrics(std::vector{.35F, .8F, .4F, .1F}, std::vector<std::uint8_t>{1, 1, 1, 0}));
  EXPECT_EQ(file.metrics.num_images, 4);
  EXPECT_THAT(file.warnings, IsEmpty());
}

TEST_F(MeasuredFile, TakesConnectivityAndLimitFromTheOptions) {
  const Measured four = measured(specification_tensors(), {.connectivity = 4, .pixel = {}});
  EXPECT_NEAR(four.metrics.pixel.aupro.value(), 0.5163716322, 1e-10);
  EXPECT_EQ(four.metrics.pixel.num_regions, 5);
  const Measured whole =
      measured(specification_tensors(), {.connectivity = 8, .pixel = {.aupro_limit = 1}});
  EXPECT_EQ(whole.metrics.pixel.aupro,
            metrics_of(specification_images(), {.aupro_limit = 1}).aupro);
}

TEST_F(MeasuredFile, LeavesOutWhatHasNoTensors) {
  TensorMap tensors = specification_tensors();
  tensors.erase("label");
  EXPECT_EQ(measured(tensors).metrics.image.undefined_because, "no_labels");
  EXPECT_TRUE(measured(tensors).metrics.pixel.auroc.has_value());
  tensors.erase("score");
  EXPECT_EQ(measured(tensors).metrics.image.undefined_because, "no_scores");

  tensors = specification_tensors();
  tensors.erase("mask");
  EXPECT_EQ(measured(tensors).metrics.pixel.undefined_because, "no_masks");
  EXPECT_EQ(measured(tensors).metrics.pixel.cflow200_undefined_because, "no_masks");
  EXPECT_TRUE(measured(tensors).metrics.image.auroc.has_value());
  tensors.erase("map");
  EXPECT_EQ(measured(tensors).metrics.pixel.undefined_because, "no_maps");
}

TEST_F(MeasuredFile, WithoutAnyMetricIsRefusedWithTheReasons) {
  TensorMap tensors = specification_tensors();
  tensors["mask"].zero_();
  tensors["label"].zero_();
  expect_refused(tensors,
                 "no metric is defined: no label is 1, so none of images; no mask has an "
                 "anomalous pixel (1), so none of pixels");
  expect_refused({{"map", tensors["map"]}},
                 "no metric is defined: 'score' is missing, so none of images; 'mask' is "
                 "missing, so none of pixels");
}

TEST_F(MeasuredFile, WithoutNormalImagesHasPixelMetricsAlone) {
  TensorMap tensors = specification_tensors();
  tensors["label"].fill_(1);
  const Measured file = measured(tensors);
  EXPECT_EQ(file.metrics.image.undefined_because, "no_normals");
  EXPECT_TRUE(file.metrics.pixel.aupro.has_value());
}

TEST_F(MeasuredFile, NamesTheImageWhoseMapIsNotFinite) {
  TensorMap tensors = specification_tensors();
  tensors["map"][2][3][4] = std::numeric_limits<float>::quiet_NaN();
  expect_refused(tensors, "the map of image 2 is nan at row 3, column 4");
  tensors["map"][2][3][4] = std::numeric_limits<float>::infinity();
  expect_refused(tensors, "the map of image 2 is inf at row 3, column 4");
}

TEST_F(MeasuredFile, WarnsWhereLabelsAndMasksContradictEachOther) {
  TensorMap tensors = specification_tensors();
  tensors["label"] = at::tensor({0, 1, 1, 1}).to(at::kByte);
  const Measured file = measured(tensors);
  EXPECT_THAT(file.warnings,
              ElementsAre(HasSubstr("label 0 but anomalous pixels in the mask: 1 of 4 images, "
                                    "first image 0"),
                          HasSubstr("label 1 but an empty mask: 1 of 4 images")));
  EXPECT_EQ(file.metrics.num_empty_masks, 1);
}

TEST_F(MeasuredFile, WarnsWhereMapsLookInverted) {
  TensorMap tensors = specification_tensors();
  tensors["map"].neg_();
  EXPECT_THAT(measured(tensors).warnings,
              ElementsAre(HasSubstr("pixel AUROC is 0.2102, worse than chance")));
}

}  // namespace
}  // namespace assay
