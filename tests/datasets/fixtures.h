#pragma once

#include "datasets/image.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// Small image files of the kinds that data sets hold, made by the tests themselves.
namespace assay::fixtures {

/// An image of one colour; one or three channels.
[[nodiscard]] Image plain_image(std::int32_t width,
                                std::int32_t height,
                                const std::vector<std::uint8_t>& colour);

/// A smooth RGB picture with every value in it, which JPEG keeps nearly as it is.
[[nodiscard]] Image gradient_image(std::int32_t width, std::int32_t height);

/// A baseline JPEG; with an EXIF block where `orientation` is not 0. A four-channel image is
/// written as Adobe's CMYK.
void write_jpeg(const std::filesystem::path& path, const Image& image, int orientation = 0);

/// What libpng is to write, sample for sample.
struct RawPng {
  std::uint32_t width = 1, height = 1;
  int bit_depth = 8;
  int color_type = 0;                 ///< PNG_COLOR_TYPE_...
  std::vector<std::uint8_t> rows;     ///< Packed as the file holds them, before filtering.
  std::vector<std::uint8_t> palette;  ///< RGB triples.
};
void write_raw_png(const std::filesystem::path& path, const RawPng& png);

/// An 8-bit (3 channels: 24-bit) uncompressed BMP.
void write_bmp(const std::filesystem::path& path, const Image& image);

/// A TIFF of 8 or 16-bit samples, PackBits.
struct RawTiff {
  std::uint32_t width = 1, height = 1;
  std::uint16_t bits = 8, samples = 1, photometric = 1, orientation = 1;
  std::vector<std::uint8_t> rows;
};
void write_tiff(const std::filesystem::path& path, const RawTiff& tiff);

/// Cuts a file to `size` bytes.
void truncate_file(const std::filesystem::path& path, std::uintmax_t size);

}  // namespace assay::fixtures
