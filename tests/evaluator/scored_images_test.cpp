#include "evaluator/scored_images.h"

#include "core/error.h"
#include "core/file.h"
#include "registry/safetensors.h"
#include "tests/support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <limits>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Three images of 4 x 5 pixels.
TensorMap whole() {
  at::Tensor mask = at::zeros({3, 4, 5}, at::kByte);
  mask[1][2].slice(0, 1, 3).fill_(1);
  return {{"map", at::arange(60, at::kFloat).view({3, 4, 5})},
          {"mask", mask},
          {"score", at::arange(3, at::kFloat)},
          {"label", at::arange(3).eq(1).to(at::kByte)}};
}

class ScoredImagesFile : public testing::Test {
 protected:
  ScoredImages open(const TensorMap& tensors) {
    write_safetensors(path_, {.tensors = tensors, .metadata = {}});
    return ScoredImages(path_);
  }
  template <typename Matcher>
  void expect_refused(const TensorMap& tensors, const Matcher& message) {
    EXPECT_THAT([&] { (void)open(tensors); },
                ThrowsMessage<DataError>(AllOf(HasSubstr(path_.string() + ": "), message)));
  }
  // `whole()` with one tensor replaced.
  template <typename Matcher>
  void expect_refused_with(const std::string& name, const at::Tensor& tensor, Matcher message) {
    TensorMap tensors = whole();
    tensors[name] = tensor;
    expect_refused(tensors, message);
  }

 private:
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "maps.safetensors";
};

TEST_F(ScoredImagesFile, IsReadAsItWasWritten) {
  const ScoredImages images = open(whole());
  EXPECT_EQ(images.num_images(), 3);
  EXPECT_EQ(images.height(), 4);
  EXPECT_EQ(images.width(), 5);
  ASSERT_EQ(images.maps().size(), 3U);
  EXPECT_EQ(images.maps()[2].size(), 20U);
  EXPECT_EQ(images.maps()[2][3], 43.0F);
  EXPECT_THAT(images.scores(), ElementsAre(0, 1, 2));
  EXPECT_THAT(images.labels(), ElementsAre(0, 1, 0));
  const MaskRuns mask = images.labelled_mask(1, 8);
  EXPECT_THAT(mask.runs, ElementsAre(MaskRun{.row = 2, .first = 1, .last = 2, .region = 0}));
  EXPECT_TRUE(images.labelled_mask(0, 8).runs.empty());
}

TEST_F(ScoredImagesFile, MayBeReadAgainAfterItWasForgotten) {
  // Large enough for whole pages.
  const at::Tensor map = at::arange(2 * 100 * 100, at::kFloat).view({2, 100, 100});
  const ScoredImages images = open({{"map", map}});
  const float before = images.maps()[1][5000];
  images.forget(0);
  images.forget(1);
  EXPECT_EQ(images.maps()[1][5000], before);
  EXPECT_EQ(before, 15000.0F);
}

TEST_F(ScoredImagesFile, MayHoldEitherPairOnly) {
  TensorMap pixels = whole();
  pixels.erase("score");
  pixels.erase("label");
  EXPECT_FALSE(open(pixels).has_scores());
  EXPECT_FALSE(open(pixels).has_labels());
  TensorMap scores = whole();
  scores.erase("map");
  scores.erase("mask");
  const ScoredImages images = open(scores);
  EXPECT_FALSE(images.has_maps() || images.has_masks());
  EXPECT_EQ(images.num_images(), 3);
  EXPECT_EQ(images.height(), 0);
}

TEST_F(ScoredImagesFile, TakesWhatNumPyMakesOfMasksScoresAndLabels) {
  for (const at::ScalarType type : {at::kBool, at::kChar, at::kShort, at::kInt, at::kLong,
                                    at::kHalf, at::kFloat, at::kDouble}) {
    TensorMap tensors = whole();
    tensors["label"] = tensors["label"].to(type);
    EXPECT_THAT(open(tensors).labels(), ElementsAre(0, 1, 0));
  }
  TensorMap tensors = whole();
  tensors["mask"] = tensors["mask"].to(at::kBool);
  EXPECT_EQ(open(tensors).labelled_mask(1, 8).num_anomalous(), 2);
  tensors["score"] = at::tensor({0.1, 1e300, -0.25}, at::kDouble);
  EXPECT_THAT(open(tensors).scores(), ElementsAre(0.1, 1e300, -0.25));
  tensors["score"] = at::tensor({0.5, 2.0, -0.25}).to(at::kHalf);
  EXPECT_THAT(open(tensors).scores(), ElementsAre(0.5, 2, -0.25));
}

TEST_F(ScoredImagesFile, OfAnotherTypeIsRefusedWithTheConversion) {
  expect_refused_with("map", whole().at("map").to(at::kDouble),
                      HasSubstr("'map' is float64 [3, 4, 5], expected float32 [images, height, "
                                "width]; save map.astype(numpy.float32)"));
  expect_refused_with("mask", whole().at("mask").to(at::kLong),
                      HasSubstr("'mask' is int64 [3, 4, 5], expected uint8 [images, height, "
                                "width]; save (mask > 0).astype(numpy.uint8)"));
  expect_refused_with("score", whole().at("score").to(at::kLong),
                      HasSubstr("'score' is int64 [3], expected float32 [images]; save "
                                "score.astype(numpy.float32)"));
  expect_refused_with("label", whole().at("label").to(at::kUInt16),
                      HasSubstr("'label' is uint16 [3], expected uint8 [images]"));
}

TEST_F(ScoredImagesFile, OfAnotherShapeIsRefused) {
  expect_refused_with("map", whole().at("map").unsqueeze(1),
                      HasSubstr("'map' is float32 [3, 1, 4, 5], expected float32 [images, height, "
                                "width]; save it with 3 dimensions"));
  expect_refused_with("score", whole().at("score").unsqueeze(1),
                      HasSubstr("'score' is float32 [3, 1], expected float32 [images]; save it "
                                "with 1 dimension"));
  expect_refused_with("mask", at::zeros({3, 4, 6}, at::kByte),
                      HasSubstr("'map' is float32 [3, 4, 5], 'mask' is uint8 [3, 4, 6]; expected "
                                "the same images, height and width"));
  expect_refused_with("label", at::zeros({4}, at::kByte),
                      HasSubstr("'label' is uint8 [4], 'map' is float32 [3, 4, 5]; expected the "
                                "same number of images"));
  expect_refused({{"score", at::zeros({0}, at::kFloat)}},
                 HasSubstr("'score' is float32 [0]: its number of images is 0, expected at least "
                           "1"));
  expect_refused({{"map", at::zeros({6, 0, 64}, at::kFloat)}},
                 HasSubstr("'map' is float32 [6, 0, 64]: its height is 0, expected at least 1"));
}

TEST_F(ScoredImagesFile, MayHoldOtherTensorsOfAnyShapeBesideAllFour) {
  TensorMap tensors = whole();
  tensors["features"] = at::zeros({7, 2}, at::kUInt32);
  const ScoredImages images = open(tensors);
  EXPECT_THAT(images.others(), ElementsAre("features"));
  EXPECT_EQ(images.num_images(), 3);
}

TEST_F(ScoredImagesFile, WithAnotherTensorInsteadOfOneOfTheFourIsRefused) {
  TensorMap tensors = whole();
  tensors["maps"] = tensors["map"];
  tensors.erase("map");
  expect_refused(tensors, HasSubstr("'maps' is not a tensor that metrics are made of; did you mean "
                                    "'map'?; known: map, mask, score, label, of which 'map' is "
                                    "missing; rename 'maps' or leave it out"));
  tensors.erase("label");
  expect_refused(tensors, HasSubstr("of which 'map', 'label' are missing"));
  expect_refused({}, HasSubstr("holds no tensor"));
}

TEST_F(ScoredImagesFile, NamesTheImageWhoseScoreOrLabelCannotBe) {
  at::Tensor score = whole().at("score");
  score[2] = std::numeric_limits<float>::quiet_NaN();
  expect_refused_with("score", score, HasSubstr("the score of image 2 is nan"));
  score[1] = -std::numeric_limits<float>::infinity();
  expect_refused_with("score", score, HasSubstr("the score of image 1 is -inf"));
  expect_refused_with("label", at::full({3}, -1, at::kLong),
                      HasSubstr("the label of image 0 is -1, expected 0 (normal) or 1"));
  expect_refused_with("label", at::tensor({0., 1., 0.5}, at::kDouble),
                      HasSubstr("the label of image 2 is 0.5, expected 0 (normal) or 1"));
  expect_refused_with("label", at::tensor({0, 255, 1}).to(at::kByte),
                      HasSubstr("the label of image 1 is 255, expected"));
}

TEST_F(ScoredImagesFile, NamesThePixelWhereAMaskHasAThirdValue) {
  TensorMap tensors = whole();
  tensors["mask"][1][3][4] = 255;
  const ScoredImages images = open(tensors);
  EXPECT_NO_THROW((void)images.labelled_mask(0, 8));
  EXPECT_THAT([&] { (void)images.labelled_mask(1, 8); },
              ThrowsMessage<DataError>(HasSubstr("the mask of image 1 is 255 at row 3, column 4, "
                                                 "expected 0 (normal) or 1 (anomalous); save "
                                                 "(mask > 0).astype(numpy.uint8)")));
}

}  // namespace
}  // namespace assay
