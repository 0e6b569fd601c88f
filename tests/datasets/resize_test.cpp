#include "datasets/image.h"
#include "tests/datasets/fixtures.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

using Bytes = std::vector<std::uint8_t>;
using ::testing::ElementsAreArray;

TEST(Resize, WidensItsKernelWhenItShrinks) {  // Case D17.
  Image stripes = fixtures::plain_image(64, 64, {0});
  for (std::size_t i = 0; i < stripes.pixels.size(); i += 2) stripes.pixels[i] = 255;
  Bytes row = {146, 126};
  row.insert(row.end(), 28, 128);
  row.insert(row.end(), {129, 109});
  const Image small = resize(stripes, 32, 32, Interpolation::kBicubic);
  for (std::size_t y = 0; y < 32; ++y) {
    EXPECT_THAT(Bytes(small.pixels.begin() + 32 * y, small.pixels.begin() + 32 * (y + 1)),
                ElementsAreArray(row));
  }
}

TEST(Resize, KeepsAnImageOfTheSameSize) {
  const Image image = fixtures::gradient_image(20, 20);
  EXPECT_EQ(resize(image, 20, 20, Interpolation::kBicubic).pixels, image.pixels);
}

TEST(Resize, KeepsAConstantImageConstant) {
  const Image image = fixtures::plain_image(3, 5, {9, 250, 128});
  for (const std::int32_t size : {1, 2, 7, 64}) {
    EXPECT_EQ(resize(image, size, size, Interpolation::kBicubic).pixels,
              fixtures::plain_image(size, size, {9, 250, 128}).pixels);
  }
}

TEST(Preprocess, RepeatsGreyAndNormalisesWithClipsStatistics) {
  std::vector<float> out(3 * 4 * 4);
  preprocess(fixtures::plain_image(4, 4, {255}), 4, out.data());
  EXPECT_EQ(out[0], (1.0F - 0.48145466F) / 0.26862954F);
  EXPECT_EQ(out[16], (1.0F - 0.4578275F) / 0.26130258F);
  EXPECT_EQ(out[47], (1.0F - 0.40821073F) / 0.27577711F);
}

TEST(PreprocessMask, LosesAScratchOfOnePixelButKeepsOneOfTwo) {  // Case D11.
  Image thin = fixtures::plain_image(1036, 1036, {0});
  for (std::size_t y = 0; y < 1036; ++y) thin.pixels[y * 1036 + 517] = 255;
  Image wide = fixtures::plain_image(1024, 1024, {0});
  for (std::size_t y = 0; y < 1024; ++y) {
    wide.pixels[y * 1024 + 500] = wide.pixels[y * 1024 + 501] = 255;
  }
  const Bytes first = preprocess_mask(thin, 518), second = preprocess_mask(wide, 518);
  EXPECT_EQ(std::count(first.begin(), first.end(), 1), 0);
  EXPECT_EQ(std::count(second.begin(), second.end(), 1), 518);
}

TEST(PreprocessMask, CountsEveryValueAboveZero) {  // VisA's class indices.
  const Image mask = fixtures::plain_image(8, 8, {1});
  EXPECT_EQ(preprocess_mask(mask, 8), Bytes(64, 1));
}

}  // namespace
}  // namespace assay
