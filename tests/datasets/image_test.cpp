#include "datasets/image.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/datasets/fixtures.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <png.h>
#include <tiffio.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <random>

namespace assay {
namespace {

using fixtures::gradient_image;
using fixtures::plain_image;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

int largest_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return largest;
}

TEST(ReadImage, ReadsBackAWrittenPng) {
  const TemporaryFolder folder;
  const Image image = gradient_image(31, 17);
  write_png(folder / "a.png", image);
  const Image read = read_image(folder / "a.png");
  EXPECT_EQ(read.width, 31);
  EXPECT_EQ(read.height, 17);
  EXPECT_EQ(read.channels, 3);
  EXPECT_EQ(read.pixels, image.pixels);
  EXPECT_THAT(read.notes, IsEmpty());
}

TEST(ReadImage, ChoosesTheDecoderByContentNotByName) {
  const TemporaryFolder folder;
  write_png(folder / "png.jpg", gradient_image(8, 8));
  fixtures::write_jpeg(folder / "jpeg.PNG", gradient_image(64, 64));
  EXPECT_EQ(read_image(folder / "png.jpg").pixels, gradient_image(8, 8).pixels);
  EXPECT_LE(largest_difference(read_image(folder / "jpeg.PNG"), gradient_image(64, 64)), 12);
}

TEST(ReadImage, KeepsTheUpperByteOf16BitGreyAndSaysSo) {  // Case D01.
  const TemporaryFolder folder;
  fixtures::RawPng png{.width = 256,
                       .height = 4,
                       .bit_depth = 16,
                       .color_type = PNG_COLOR_TYPE_GRAY,
                       .rows = {},
                       .palette = {}};
  for (int i = 0; i < 4 * 256; ++i) {
    const int value = 257 * (i % 256);
    png.rows.push_back(static_cast<std::uint8_t>(value >> 8));
    png.rows.push_back(static_cast<std::uint8_t>(value & 255));
  }
  fixtures::write_raw_png(folder / "a.png", png);
  const Image image = read_image(folder / "a.png");
  EXPECT_EQ(image.channels, 1);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) ASSERT_EQ(image.pixels[i], i % 256);
  EXPECT_THAT(image.notes, Contains(HasSubstr("16-bit")));
}

TEST(ReadImage, TurnsAdobesInvertedInksIntoTheRightColour) {  // Case D02.
  const TemporaryFolder folder;
  // (200, 0, 0) is C 55, M 255, Y 255, K 0, stored as 255 minus the ink.
  fixtures::write_jpeg(folder / "a.jpg", plain_image(16, 16, {200, 0, 0, 255}));
  const Image image = read_image(folder / "a.jpg");
  EXPECT_EQ(image.channels, 3);
  EXPECT_LE(largest_difference(image, plain_image(16, 16, {200, 0, 0})), 2);
  EXPECT_THAT(image.notes, Contains(HasSubstr("CMYK")));
}

TEST(ReadImage, IgnoresTheOrientationTagAndSaysSo) {  // Case D03.
  const TemporaryFolder folder;
  fixtures::write_jpeg(folder / "a.jpg", plain_image(8, 4, {90, 90, 90}), 6);
  const Image image = read_image(folder / "a.jpg");
  EXPECT_EQ(image.width, 8);
  EXPECT_EQ(image.height, 4);
  EXPECT_THAT(image.notes, ElementsAre("EXIF orientation 6 ignored"));
}

TEST(ReadImage, ExpandsPaletteAndOneBitPixels) {
  const TemporaryFolder folder;
  fixtures::write_raw_png(folder / "palette.png", {.width = 2,
                                                   .height = 1,
                                                   .bit_depth = 8,
                                                   .color_type = PNG_COLOR_TYPE_PALETTE,
                                                   .rows = {1, 0},
                                                   .palette = {10, 20, 30, 40, 50, 60}});
  fixtures::write_raw_png(folder / "bits.png", {.width = 8,
                                                .height = 1,
                                                .bit_depth = 1,
                                                .color_type = PNG_COLOR_TYPE_GRAY,
                                                .rows = {0b10100001},
                                                .palette = {}});
  EXPECT_THAT(read_image(folder / "palette.png").pixels, ElementsAre(40, 50, 60, 10, 20, 30));
  EXPECT_THAT(read_image(folder / "bits.png").pixels, ElementsAre(255, 0, 255, 0, 0, 0, 0, 255));
}

TEST(ReadImage, DropsAlphaWithoutBlending) {
  const TemporaryFolder folder;
  fixtures::write_raw_png(folder / "grey.png", {.width = 2,
                                                .height = 1,
                                                .bit_depth = 8,
                                                .color_type = PNG_COLOR_TYPE_GRAY_ALPHA,
                                                .rows = {200, 26, 100, 0},
                                                .palette = {}});
  fixtures::write_raw_png(folder / "rgba.png", {.width = 1,
                                                .height = 1,
                                                .bit_depth = 8,
                                                .color_type = PNG_COLOR_TYPE_RGB_ALPHA,
                                                .rows = {1, 2, 3, 0},
                                                .palette = {}});
  EXPECT_THAT(read_image(folder / "grey.png").pixels, ElementsAre(200, 100));
  EXPECT_THAT(read_image(folder / "rgba.png").pixels, ElementsAre(1, 2, 3));
  EXPECT_THAT(read_image(folder / "rgba.png").notes, Contains(HasSubstr("alpha")));
}

TEST(ReadImage, ReadsGreyJpegAsOneChannel) {
  const TemporaryFolder folder;
  fixtures::write_jpeg(folder / "a.jpg", plain_image(9, 9, {77}));
  EXPECT_THAT(read_image(folder / "a.jpg").pixels, Each(77));
  EXPECT_EQ(read_image(folder / "a.jpg").channels, 1);
}

TEST(ReadImage, ReadsBmpOfOneAndThreeChannels) {
  const TemporaryFolder folder;
  fixtures::write_bmp(folder / "grey.bmp", plain_image(5, 3, {200}));
  fixtures::write_bmp(folder / "rgb.bmp", gradient_image(5, 3));
  EXPECT_EQ(to_grey(read_image(folder / "grey.bmp")).pixels, plain_image(5, 3, {200}).pixels);
  EXPECT_EQ(read_image(folder / "rgb.bmp").pixels, gradient_image(5, 3).pixels);
}

TEST(ReadImage, ReadsTiffWithAlpha16BitInvertedAndOneBitSamples) {
  const TemporaryFolder folder;
  fixtures::write_tiff(folder / "rgba.tif", {.width = 1,
                                             .height = 2,
                                             .bits = 8,
                                             .samples = 4,
                                             .photometric = PHOTOMETRIC_RGB,
                                             .orientation = 1,
                                             .rows = {1, 2, 3, 9, 4, 5, 6, 0}});
  fixtures::write_tiff(folder / "deep.tif", {.width = 2,
                                             .height = 1,
                                             .bits = 16,
                                             .samples = 1,
                                             .photometric = PHOTOMETRIC_MINISBLACK,
                                             .orientation = 1,
                                             .rows = {0xFF, 0x12, 0xFF, 0xFF}});
  fixtures::write_tiff(folder / "white.tif", {.width = 2,
                                              .height = 1,
                                              .bits = 8,
                                              .samples = 1,
                                              .photometric = PHOTOMETRIC_MINISWHITE,
                                              .orientation = 3,
                                              .rows = {0, 200}});
  fixtures::write_tiff(folder / "bits.tif", {.width = 8,
                                             .height = 1,
                                             .bits = 1,
                                             .samples = 1,
                                             .photometric = PHOTOMETRIC_MINISBLACK,
                                             .orientation = 3,
                                             .rows = {0b11000001}});
  EXPECT_THAT(read_image(folder / "rgba.tif").pixels, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(read_image(folder / "deep.tif").pixels, ElementsAre(0x12, 0xFF));
  EXPECT_THAT(read_image(folder / "white.tif").pixels, ElementsAre(255, 55));
  EXPECT_THAT(read_image(folder / "bits.tif").pixels, ElementsAre(255, 255, 0, 0, 0, 0, 0, 255));
  EXPECT_THAT(read_image(folder / "bits.tif").notes, ElementsAre("EXIF orientation 3 ignored"));
}

/// One small file of each format.
class ImageFormat : public ::testing::TestWithParam<std::string> {
 protected:
  ImageFormat() {
    const Image image = gradient_image(64, 64);
    if (GetParam() == "png") write_png(path_, image);
    if (GetParam() == "jpg") fixtures::write_jpeg(path_, image, 6);
    if (GetParam() == "bmp") fixtures::write_bmp(path_, image);
    if (GetParam() == "tif") {
      fixtures::write_tiff(path_, {.width = 64,
                                   .height = 64,
                                   .bits = 8,
                                   .samples = 3,
                                   .photometric = PHOTOMETRIC_RGB,
                                   .orientation = 1,
                                   .rows = image.pixels});
    }
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / ("a." + GetParam());
};

TEST_P(ImageFormat, OfATruncatedFileIsAnErrorThatNamesIt) {
  ASSERT_EQ(read_image(path_).width, 64);
  for (const std::uintmax_t tenths : {9U, 5U, 1U}) {
    fixtures::truncate_file(path_, std::filesystem::file_size(path_) * tenths / 10);
    EXPECT_THAT([&] { (void)read_image(path_); },
                ThrowsMessage<DataError>(HasSubstr(path_.string())))
        << tenths;
  }
}

TEST_P(ImageFormat, OfADamagedFileIsReadOrRefused) {
  const std::string bytes = read_file(path_);
  std::mt19937 rng(20240521);
  std::uniform_int_distribution<std::size_t> position(0, bytes.size() - 1);
  std::uniform_int_distribution<int> value(0, 255);
  for (int trial = 0; trial < 100; ++trial) {
    std::string damaged = bytes;
    for (int i = 0; i < 3; ++i) damaged[position(rng)] = static_cast<char>(value(rng));
    std::ofstream(path_, std::ios::binary) << damaged;
    try {
      const Image image = read_image(path_);
      EXPECT_EQ(image.pixels.size(),
                static_cast<std::size_t>(image.width * image.height * image.channels));
    } catch (const DataError&) {
      continue;
    }
  }
}

TEST_P(ImageFormat, HasTheHeaderOfItsPixels) {
  const Image header = read_image_header(path_), image = read_image(path_);
  EXPECT_EQ(header.width, 64);
  EXPECT_EQ(header.height, 64);
  EXPECT_EQ(header.channels, image.channels);
  EXPECT_EQ(header.notes, image.notes);
  EXPECT_THAT(header.pixels, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(All, ImageFormat, ::testing::Values("png", "jpg", "bmp", "tif"));

TEST(ReadImage, NamesAFileThatIsNoImage) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.png", "version https://git-lfs.github.com/spec/v1");
  write_file_atomically(folder / "empty.png", "");
  EXPECT_THAT([&] { (void)read_image(folder / "a.png"); },
              ThrowsMessage<DataError>(HasSubstr("a.png: not an image")));
  EXPECT_THAT([&] { (void)read_image(folder / "empty.png"); },
              ThrowsMessage<DataError>(HasSubstr("not an image: 0 bytes")));
  EXPECT_THAT([&] { (void)read_image(folder / "none.png"); },
              ThrowsMessage<DataError>(HasSubstr("none.png: cannot be opened")));
}

TEST(ReadImage, RefusesAnImageBomb) {
  const TemporaryFolder folder;
  write_png(folder / "a.png", plain_image(1, 1, {0}));
  std::string bytes = read_file(folder / "a.png");
  // IHDR with 65536 x 65536 and its CRC.
  const std::string header("IHDR\0\1\0\0\0\1\0\0\x08\0\0\0\0", 17);
  bytes.replace(12, header.size(), header);
  const unsigned long crc = crc32(0, reinterpret_cast<const unsigned char*>(header.data()), 17);
  for (int i = 0; i < 4; ++i) bytes[29U + i] = static_cast<char>(crc >> (24 - 8 * i));
  write_file_atomically(folder / "a.png", bytes);
  EXPECT_THAT([&] { (void)read_image(folder / "a.png"); },
              ThrowsMessage<DataError>(HasSubstr("65536 x 65536 pixels, more than the 268435456")));
}

TEST(ToGrey, IsPillowsLuminance) {
  const Image image{1, 3, 3, {255, 0, 0, 0, 255, 0, 12, 200, 99}, {}};
  EXPECT_THAT(to_grey(image).pixels, ElementsAre(76, 150, 132));
}

}  // namespace
}  // namespace assay
