#include "tests/datasets/fixtures.h"

#include "core/error.h"
#include "core/file.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>
#include <png.h>
#include <tiffio.h>

namespace assay::fixtures {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

File open_for_writing(const std::filesystem::path& path) {
  std::filesystem::create_directories(path.parent_path());
  File file(std::fopen(path.c_str(), "wb"));
  if (!file) throw DataError("{}: cannot be written", path.string());
  return file;
}

void write_exif_orientation(jpeg_compress_struct& info, int orientation) {
  const std::vector<std::uint8_t> exif = {
      'E',  'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42,
      0,    0,    0,   8,  // Big-endian TIFF header.
      0,    1,             // One entry:
      0x01, 0x12, 0,   3,   0, 0, 0,   1,   0, static_cast<std::uint8_t>(orientation),
      0,    0,    0,   0,   0, 0};
  jpeg_write_marker(&info, JPEG_APP0 + 1, exif.data(), static_cast<unsigned>(exif.size()));
}

}  // namespace

Image plain_image(std::int32_t width,
                  std::int32_t height,
                  const std::vector<std::uint8_t>& colour) {
  Image image{height, width, static_cast<std::int32_t>(colour.size()), {}, {}};
  for (std::int32_t i = 0; i < width * height; ++i) {
    image.pixels.insert(image.pixels.end(), colour.begin(), colour.end());
  }
  return image;
}

Image gradient_image(std::int32_t width, std::int32_t height) {
  Image image = plain_image(width, height, {0, 0, 0});
  for (std::int32_t y = 0; y < height; ++y) {
    for (std::int32_t x = 0; x < width; ++x) {
      std::uint8_t* pixel = image.pixels.data() + 3 * (y * width + x);
      pixel[0] = static_cast<std::uint8_t>(255 * x / width);
      pixel[1] = static_cast<std::uint8_t>(255 * y / height);
      pixel[2] = static_cast<std::uint8_t>(128 + 64 * x / width);
    }
  }
  return image;
}

void write_jpeg(const std::filesystem::path& path, const Image& image, int orientation) {
  const File file = open_for_writing(path);
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  jpeg_stdio_dest(&info, file.get());
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = image.channels;
  info.in_color_space =
      image.channels == 1 ? JCS_GRAYSCALE : (image.channels == 3 ? JCS_RGB : JCS_CMYK);
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  jpeg_start_compress(&info, TRUE);
  if (orientation != 0) write_exif_orientation(info, orientation);
  std::vector<std::uint8_t> pixels = image.pixels;
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() + static_cast<std::size_t>(info.next_scanline) *
                                       static_cast<std::size_t>(image.width * image.channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
}

void write_raw_png(const std::filesystem::path& path, const RawPng& raw) {
  const File file = open_for_writing(path);
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, file.get());
  png_set_IHDR(png, info, raw.width, raw.height, raw.bit_depth, raw.color_type, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> palette(raw.palette.size() / 3);
  for (std::size_t i = 0; i < palette.size(); ++i) {
    palette[i] = {raw.palette[3 * i], raw.palette[3 * i + 1], raw.palette[3 * i + 2]};
  }
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  png_write_info(png, info);
  const std::size_t row_bytes = raw.rows.size() / raw.height;
  for (std::uint32_t y = 0; y < raw.height; ++y) {
    png_write_row(png, raw.rows.data() + y * row_bytes);
  }
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
}

void write_bmp(const std::filesystem::path& path, const Image& image) {
  const int bits = 8 * image.channels;
  const int row_bytes = (image.width * bits + 31) / 32 * 4;
  const int palette_bytes = image.channels == 1 ? 256 * 4 : 0;
  const int offset = 14 + 40 + palette_bytes;
  std::string bytes = "BM";
  const auto put = [&](std::int64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  };
  put(offset + row_bytes * image.height, 4);
  put(0, 4);
  put(offset, 4);
  put(40, 4);
  put(image.width, 4);
  put(image.height, 4);
  put(1, 2);
  put(bits, 2);
  for (int i = 0; i < 6; ++i) put(0, 4);
  for (int i = 0; i < palette_bytes / 4; ++i) put(i * 0x010101, 4);
  for (std::int32_t y = image.height - 1; y >= 0; --y) {  // Bottom row first.
    const std::size_t start = bytes.size();
    for (std::int32_t x = 0; x < image.width; ++x) {
      for (std::int32_t c = image.channels - 1; c >= 0; --c) {  // Blue first.
        put(image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + c)], 1);
      }
    }
    bytes.resize(start + static_cast<std::size_t>(row_bytes));
  }
  write_file_atomically(path, bytes);
}

void write_tiff(const std::filesystem::path& path, const RawTiff& raw) {
  std::filesystem::create_directories(path.parent_path());
  TIFF* tiff = TIFFOpen(path.c_str(), "w");
  if (tiff == nullptr) throw DataError("{}: cannot be written", path.string());
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, raw.width);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, raw.height);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, raw.bits);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, raw.samples);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, raw.photometric);
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, raw.orientation);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_PACKBITS);
  TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, raw.height);
  std::vector<std::uint8_t> rows = raw.rows;
  const std::size_t row_bytes = rows.size() / raw.height;
  for (std::uint32_t y = 0; y < raw.height; ++y) {
    TIFFWriteScanline(tiff, rows.data() + y * row_bytes, y, 0);
  }
  TIFFClose(tiff);
}

void truncate_file(const std::filesystem::path& path, std::uintmax_t size) {
  std::filesystem::resize_file(path, size);
}

}  // namespace assay::fixtures
