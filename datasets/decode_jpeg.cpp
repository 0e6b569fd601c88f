#include "core/error.h"
#include "datasets/decode.h"

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>

// jpeglib.h needs <cstdio> before it.
#include <jerror.h>
#include <jpeglib.h>

namespace assay {
namespace {

// libjpeg leaves its functions by longjmp, which runs no destructors: the functions below that call
// setjmp own nothing.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf escape;
  std::array<char, JMSG_LENGTH_MAX> message;
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  errors->base.format_message(info, errors->message.data());
  std::longjmp(errors->escape, 1);
}

// A file that is cut off or damaged is only a warning to libjpeg, which fills the rest with grey.
void emit_message(j_common_ptr info, int level) {
  const int code = info->err->msg_code;
  const bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR ||
                        code == JWRN_ADOBE_XFORM || code == JWRN_BOGUS_ICC;
  if (level < 0 && !harmless) leave(info);
}

struct Decompressor {
  jpeg_decompress_struct info{};
  ErrorManager errors{};

  Decompressor() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = leave;
    errors.base.emit_message = emit_message;
    jpeg_create_decompress(&info);
  }
  ~Decompressor() { jpeg_destroy_decompress(&info); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
};

bool read_header(Decompressor& jpeg, Bytes bytes) {
  if (setjmp(jpeg.errors.escape) != 0) return false;
  jpeg_save_markers(&jpeg.info, JPEG_APP0 + 1, 0xFFFF);  // EXIF.
  jpeg_mem_src(&jpeg.info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&jpeg.info, TRUE);
  switch (jpeg.info.jpeg_color_space) {
    case JCS_GRAYSCALE: jpeg.info.out_color_space = JCS_GRAYSCALE; break;
    case JCS_CMYK:
    case JCS_YCCK: jpeg.info.out_color_space = JCS_CMYK; break;
    default: jpeg.info.out_color_space = JCS_RGB;
  }
  return true;
}

bool read_rows(Decompressor& jpeg, std::uint8_t* out, std::size_t row_bytes) {
  if (setjmp(jpeg.errors.escape) != 0) return false;
  jpeg_start_decompress(&jpeg.info);
  while (jpeg.info.output_scanline < jpeg.info.output_height) {
    JSAMPROW row = out + jpeg.info.output_scanline * row_bytes;
    jpeg_read_scanlines(&jpeg.info, &row, 1);
  }
  jpeg_finish_decompress(&jpeg.info);
  return true;
}

std::uint8_t multiply(int a, int b) {  // a * b / 255, rounded.
  const int product = a * b + 128;
  return static_cast<std::uint8_t>((product + (product >> 8)) >> 8);
}

// Inks as Adobe's programs store them: 255 = none. Pillow takes every CMYK JPEG to be of this kind.
void inverted_cmyk_to_rgb(std::span<const std::uint8_t> cmyk, std::span<std::uint8_t> rgb) {
  for (std::size_t i = 0; i < rgb.size() / 3; ++i) {
    const int white = cmyk[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      rgb[3 * i + c] = static_cast<std::uint8_t>(white - multiply(255 - cmyk[4 * i + c], white));
    }
  }
}

int orientation_of(const jpeg_decompress_struct& info) {
  constexpr std::size_t kPrefix = 6;  // "Exif\0\0"
  for (const jpeg_marker_struct* marker = info.marker_list; marker != nullptr;
       marker = marker->next) {
    const Bytes data = std::as_bytes(std::span(marker->data, marker->data_length));
    if (data.size() < kPrefix || std::memcmp(data.data(), "Exif\0", kPrefix) != 0) continue;
    return exif_orientation(data.subspan(kPrefix));
  }
  return 1;
}

}  // namespace

Image decode_jpeg(Bytes bytes, Decode what, const std::string& where) {
  Decompressor jpeg;
  const auto check = [&](bool done) {
    if (!done) throw DataError("{}: damaged JPEG: {}", where, jpeg.errors.message.data());
  };
  check(read_header(jpeg, bytes));
  const bool cmyk = jpeg.info.out_color_space == JCS_CMYK;
  const bool grey = jpeg.info.out_color_space == JCS_GRAYSCALE;
  Image image =
      allocate_image(jpeg.info.image_height, jpeg.info.image_width, grey ? 1 : 3, what, where);
  note_orientation(image, orientation_of(jpeg.info));
  if (cmyk) image.notes.emplace_back("CMYK, read with inverted inks as Adobe and Pillow do");
  if (what == Decode::kHeader) return image;
  const std::size_t row_bytes =
      static_cast<std::size_t>(image.width) * static_cast<std::size_t>(cmyk ? 4 : image.channels);
  if (!cmyk) {
    check(read_rows(jpeg, image.pixels.data(), row_bytes));
    return image;
  }
  std::vector<std::uint8_t> inks(row_bytes * static_cast<std::size_t>(image.height));
  check(read_rows(jpeg, inks.data(), row_bytes));
  inverted_cmyk_to_rgb(inks, image.pixels);
  return image;
}

}  // namespace assay
