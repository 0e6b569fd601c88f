#include "evaluator/measure.h"

#include "core/error.h"
#include "core/file.h"
#include "core/memory.h"
#include "registry/safetensors.h"
#include "tests/evaluator/pixel_images.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_communicator.h"

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

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

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
  MeasureOptions options;
  options.connectivity = 4;
  const Measured four = measured(specification_tensors(), options);
  EXPECT_NEAR(four.metrics.pixel.aupro.value(), 0.5163716322, 1e-10);
  EXPECT_EQ(four.metrics.pixel.num_regions, 5);
  options = {};
  options.pixel.aupro_limit = 1;
  const Measured whole = measured(specification_tensors(), options);
  EXPECT_EQ(whole.metrics.pixel.aupro,
            metrics_of(specification_images(), {.aupro_limit = 1}).aupro);
}

TEST_F(MeasuredFile, IsTheSameToTheBitOnAnyNumberOfThreads) {
  for (const PixelAlgorithm algorithm : {PixelAlgorithm::kExact, PixelAlgorithm::kBinned}) {
    MeasureOptions options;
    options.algorithm = algorithm;
    const Measured one = measured(specification_tensors(), options);
    options.pixel.num_threads = 3;
    const Measured three = measured(specification_tensors(), options);
    EXPECT_EQ(three.metrics, one.metrics);
    EXPECT_EQ(three.brackets, one.brackets);
    EXPECT_EQ(three.aupimo.exact.by_image, one.aupimo.exact.by_image);
  }
}

TEST_F(MeasuredFile, InBinsHasBracketsAroundTheExactValuesAndTheSameAupimo) {
  MeasureOptions options;
  options.aupimo_lower = 0.01;
  options.aupimo_upper = 0.5;
  const Measured exact = measured(specification_tensors(), options);
  EXPECT_FALSE(exact.brackets);
  options.algorithm = PixelAlgorithm::kBinned;
  const Measured binned = measured(specification_tensors(), options);
  ASSERT_TRUE(binned.brackets);
  EXPECT_LE(binned.brackets->ap.lower, *exact.metrics.pixel.ap);
  EXPECT_GE(binned.brackets->ap.upper, *exact.metrics.pixel.ap);
  EXPECT_NEAR(*binned.metrics.pixel.aupro, *exact.metrics.pixel.aupro, 1e-3);
  EXPECT_EQ(binned.metrics.pixel.num_regions, 4);
  ASSERT_TRUE(exact.aupimo.exact.mean);
  EXPECT_EQ(binned.aupimo.exact.mean, exact.aupimo.exact.mean);
  EXPECT_EQ(binned.metrics.image, exact.metrics.image);
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
  MeasureOptions options;
  options.algorithm = PixelAlgorithm::kBinned;
  EXPECT_THAT([&] { (void)measured(tensors, options); },
              ThrowsMessage<DataError>(HasSubstr("the map of image 2 is inf at row 3")));
}

TEST_F(MeasuredFile, NamesTheFirstImageWhoseMaskHasAThirdValue) {
  TensorMap tensors = specification_tensors();
  tensors["mask"][3][0][1] = 2;
  tensors["mask"][1][2][3] = 255;
  expect_refused(tensors, "the mask of image 1 is 255 at row 2, column 3");
}

TEST_F(MeasuredFile, OfMorePixelsThanExactCountsIsRefusedWithTheRemedy) {
  // 4,097 maps of 1024 x 1024, 17 GB: the file has no blocks, and nothing of it is read.
  std::string header =
      R"({"map":{"dtype":"F32","shape":[4097,1024,1024],"data_offsets":[0,17184063488]}})";
  header.append(8 - header.size() % 8, ' ');  // Aligned, or the map would be copied.
  std::string start(8, '\0');
  start[0] = static_cast<char>(header.size());
  write_file_atomically(path(), start + header);
  std::filesystem::resize_file(path(), 8 + header.size() + 17184063488);
  EXPECT_THAT([&] { (void)measure(ScoredImages(path()), {}); },
              ThrowsMessage<DataError>(HasSubstr("4296015872 pixels, the exact algorithm counts up "
                                                 "to 2^32; use --algorithm binned")));
}

TEST_F(MeasuredFile, WarnsWhereLabelsAndMasksContradictEachOther) {
  TensorMap tensors = specification_tensors();
  tensors["label"] = at::tensor({0, 1, 1, 1}).to(at::kByte);
  const Measured file = measured(tensors);
  EXPECT_THAT(file.warnings,
              ElementsAre(HasSubstr("label 0 but anomalous pixels in the mask: 1 of 4 images, "
                                    "first image 0"),
                          HasSubstr("label 1 but an empty mask: 1 of 4 images, first image 3")));
  EXPECT_EQ(file.metrics.num_empty_masks, 1);
}

TEST_F(MeasuredFile, WarnsOfTensorsThatAreNotUsed) {
  TensorMap tensors = specification_tensors();
  tensors["features"] = tensors["names"] = at::zeros({2}, at::kByte);
  const Measured file = measured(tensors);
  EXPECT_THAT(file.warnings, ElementsAre("not used: 'features', 'names'; metrics are made of map, "
                                         "mask, score and label"));
  EXPECT_EQ(file.metrics.pixel, metrics_of(specification_images()));
}

// By how much the process grows, pages of the file that are looked at among it. From some images on
// AUPIMO's slack is full.
TEST_F(MeasuredFile, InBinsTakesTheSameMemoryForAnyNumberOfImages) {
  constexpr std::int64_t kFew = 40, kMany = 200, kImageBytes = 256 * 256 * 5;
  MeasureOptions options;
  options.algorithm = PixelAlgorithm::kBinned;
  const auto growth = [&](std::int64_t num_images) -> std::optional<std::int64_t> {
    at::Tensor mask = at::zeros({num_images, 256, 256}, at::kByte);
    mask.slice(0, 0, num_images, 2).slice(1, 10, 20).slice(2, 10, 20).fill_(1);
    write_safetensors(
        path(),
        {.tensors = {{"map", at::rand({num_images, 256, 256})}, {"mask", mask}}, .metadata = {}});
    const ScoredImages images(path());
    const ResidentGrowth memory;
    EXPECT_TRUE(measure(images, options).aupimo.exact.mean);
    return memory.bytes();
  };
  (void)growth(kFew);  // What the first run takes for ever.
  const auto few = growth(kFew), many = growth(kMany);
  if (!few || !many) GTEST_SKIP() << "/proc/self/clear_refs cannot be written here";
  EXPECT_LT(*many - *few, (kMany - kFew) * kImageBytes / 4);
}

TEST_F(MeasuredFile, WarnsWhereMapsLookInverted) {
  TensorMap tensors = specification_tensors();
  tensors["map"].neg_();
  EXPECT_THAT(measured(tensors).warnings,
              ElementsAre(HasSubstr("pixel AUROC is 0.2102, worse than chance")));
}

// What ranks do with their shares of a category: the states travel as bytes. One share is empty.
TEST(BinnedPixelsOfRanks, MergeToTheSameBits) {
  const std::vector<oracle::PixelImage> images = specification_images();
  const auto counted = [&](std::size_t first, std::size_t step) {
    BinnedPixels pixels(0, 1);
    for (std::size_t i = first; i < images.size(); i += step) {
      pixels.add(images[i].scores,
                 oracle::flood_fill(images[i].mask, images[i].height, images[i].width));
    }
    return pixels;
  };
  const BinnedMetrics expected = counted(0, 1).result(0.3);
  for (const int num_ranks : {1, 2, 3, 5}) {
    run_on_threads(num_ranks, [&](Communicator& comm) {
      const auto rank = static_cast<std::size_t>(comm.rank());
      BinnedPixels all(0, 1);
      for (const auto& bytes : comm.all_gather(counted(rank, num_ranks).save())) {
        all.merge(BinnedPixels::load(bytes));
      }
      EXPECT_EQ(all.result(0.3), expected) << num_ranks << " ranks";
    });
  }
}

}  // namespace
}  // namespace assay
