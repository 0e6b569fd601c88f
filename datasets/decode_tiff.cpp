#include "core/error.h"
#include "core/unique_handle.h"
#include "datasets/decode.h"

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace assay {
namespace {

struct TiffTraits {
  using Handle = TIFF*;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle tiff) noexcept { TIFFClose(tiff); }
};

struct OptionsTraits {
  using Handle = TIFFOpenOptions*;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle options) noexcept { TIFFOpenOptionsFree(options); }
};

/// A file in memory as libtiff's client: nothing is written, errors are collected.
struct Source {
  Bytes bytes;
  std::size_t position = 0;
  std::string error;
};

Source& source_of(thandle_t client) { return *static_cast<Source*>(client); }

tmsize_t read_bytes(thandle_t client, void* out, tmsize_t size) {
  Source& source = source_of(client);
  const std::size_t start = std::min(source.position, source.bytes.size());
  const std::size_t count = std::min(static_cast<std::size_t>(size), source.bytes.size() - start);
  if (count > 0) std::memcpy(out, source.bytes.data() + start, count);
  source.position = start + count;
  return static_cast<tmsize_t>(count);
}

tmsize_t refuse_write(thandle_t, void*, tmsize_t) { return -1; }

toff_t seek(thandle_t client, toff_t offset, int whence) {
  Source& source = source_of(client);
  std::size_t base = 0;
  if (whence == SEEK_CUR) base = source.position;
  if (whence == SEEK_END) base = source.bytes.size();
  source.position = base + offset;
  return source.position;
}

int close_nothing(thandle_t) { return 0; }

toff_t size_of(thandle_t client) { return source_of(client).bytes.size(); }

int collect_error(TIFF*, void* client, const char*, const char* format, va_list arguments) {
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::string& error = source_of(client).error;
  if (error.empty()) error = text;
  return 1;
}

int ignore_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

struct Layout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bits = 1, samples = 1, planes = PLANARCONFIG_CONTIG, orientation = 1;
  std::uint16_t photometric = PHOTOMETRIC_MINISBLACK, format = SAMPLEFORMAT_UINT;

  [[nodiscard]] bool grey() const {
    return photometric == PHOTOMETRIC_MINISBLACK || photometric == PHOTOMETRIC_MINISWHITE;
  }
  [[nodiscard]] int channels() const { return grey() ? 1 : 3; }
  [[nodiscard]] bool has_alpha() const { return samples == channels() + 1; }
};

Layout read_layout(TIFF* tiff) {
  Layout layout;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &layout.width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &layout.height);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &layout.photometric);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &layout.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &layout.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &layout.planes);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &layout.orientation);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &layout.format);
  return layout;
}

// Rows of 8 or 16-bit samples side by side: nothing is rounded or blended.
bool read_scanlines(TIFF* tiff, const Layout& layout, Image& image) {
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::uint8_t flip = layout.photometric == PHOTOMETRIC_MINISWHITE ? 0xFF : 0;
  std::vector<std::uint16_t> row(static_cast<std::size_t>(TIFFScanlineSize(tiff)) / 2 + 1);
  std::uint8_t* out = image.pixels.data();
  for (std::uint32_t y = 0; y < layout.height; ++y) {
    if (TIFFReadScanline(tiff, row.data(), y) < 0) return false;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(row.data());
    for (std::size_t x = 0; x < layout.width; ++x) {
      for (std::size_t c = 0; c < channels; ++c) {
        const std::size_t sample = x * layout.samples + c;
        const int value = layout.bits == 16 ? row[sample] >> 8 : bytes[sample];
        *out++ = static_cast<std::uint8_t>(value ^ flip);
      }
    }
  }
  return true;
}

// Everything else (palette, 1-bit, YCbCr, tiles, separate planes) through libtiff's own conversion.
bool read_rgba(TIFF* tiff, Image& image) {
  // Pixels are wanted as they are stored, and masks are drawn on those.
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
  const std::size_t num_pixels = image.pixels.size() / static_cast<std::size_t>(image.channels);
  std::vector<std::uint32_t> raster(num_pixels);
  if (TIFFReadRGBAImageOriented(tiff, static_cast<std::uint32_t>(image.width),
                                static_cast<std::uint32_t>(image.height), raster.data(),
                                ORIENTATION_TOPLEFT, /*stop_on_error=*/1) == 0) {
    return false;
  }
  std::uint8_t* out = image.pixels.data();
  for (const std::uint32_t pixel : raster) {
    *out++ = static_cast<std::uint8_t>(TIFFGetR(pixel));
    if (image.channels == 1) continue;
    *out++ = static_cast<std::uint8_t>(TIFFGetG(pixel));
    *out++ = static_cast<std::uint8_t>(TIFFGetB(pixel));
  }
  return true;
}

}  // namespace

Image decode_tiff(Bytes bytes, Decode what, const std::string& where) {
  Source source{.bytes = bytes, .position = 0, .error = {}};
  const UniqueHandle<OptionsTraits> options(TIFFOpenOptionsAlloc());
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), collect_error, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), ignore_warning, &source);
  const UniqueHandle<TiffTraits> tiff(TIFFClientOpenExt("image", "rm", &source, read_bytes,
                                                        refuse_write, seek, close_nothing, size_of,
                                                        nullptr, nullptr, options.get()));
  const auto check = [&](bool done) {
    if (!done || !source.error.empty())
      throw DataError("{}: damaged TIFF: {}", where, source.error);
  };
  check(static_cast<bool>(tiff));
  const Layout layout = read_layout(tiff.get());
  Image image = allocate_image(layout.height, layout.width, layout.channels(), what, where);
  note_orientation(image, layout.orientation);
  if (layout.has_alpha()) image.notes.emplace_back(kNoteAlpha);
  if (layout.format != SAMPLEFORMAT_UINT || layout.bits > 16) {
    throw DataError("{}: a TIFF of {}-bit or floating-point samples; 1 to 16-bit integers are read",
                    where, layout.bits);
  }
  if (layout.bits == 16) image.notes.emplace_back(kNote16Bit);

  if (what == Decode::kHeader) return image;
  const bool plain = layout.planes == PLANARCONFIG_CONTIG && TIFFIsTiled(tiff.get()) == 0 &&
                     (layout.bits == 8 || layout.bits == 16) &&
                     (layout.grey() || layout.photometric == PHOTOMETRIC_RGB);
  if (plain) {
    check(layout.samples >= layout.channels() && read_scanlines(tiff.get(), layout, image));
  } else if (layout.has_alpha()) {
    throw DataError("{}: a tiled or planar TIFF with alpha; save it as PNG", where);
  } else {
    check(read_rgba(tiff.get(), image));
  }
  return image;
}

}  // namespace assay
