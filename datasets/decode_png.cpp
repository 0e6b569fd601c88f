#include "core/error.h"
#include "datasets/decode.h"

#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>

namespace assay {
namespace {

// libpng leaves its functions by longjmp, which runs no destructors: the functions below that call
// setjmp own nothing.
struct Source {
  Bytes rest;
  std::array<char, 128> message{};
};

void read_bytes(png_structp png, png_bytep out, std::size_t size) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (size > source->rest.size()) png_error(png, "the file ends too early");
  std::memcpy(out, source->rest.data(), size);
  source->rest = source->rest.subspan(size);
}

[[noreturn]] void leave(png_structp png, png_const_charp message) {
  auto* text = static_cast<std::array<char, 128>*>(png_get_error_ptr(png));
  std::snprintf(text->data(), text->size(), "%s", message);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

struct Reader {
  Source source;
  png_structp png = nullptr;
  png_infop info = nullptr;

  explicit Reader(Bytes bytes) : source{bytes} {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source.message, leave, ignore_warning);
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
    if (info == nullptr) throw Error("png_create_read_struct failed");
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

bool read_header(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_set_read_fn(reader.png, &reader.source, read_bytes);
  png_read_info(reader.png, reader.info);
  return true;
}

// 8-bit grey or RGB whatever was stored; no gamma, no blending.
bool read_rows(Reader& reader, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_set_strip_16(reader.png);  // The upper byte.
  png_set_palette_to_rgb(reader.png);
  png_set_expand_gray_1_2_4_to_8(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  png_read_image(reader.png, rows);
  png_read_end(reader.png, reader.info);
  return true;
}

int orientation_of(const Reader& reader) {
  png_uint_32 size = 0;
  png_bytep data = nullptr;
  if (png_get_eXIf_1(reader.png, reader.info, &size, &data) == 0) return 1;
  return exif_orientation(std::as_bytes(std::span(data, size)));
}

}  // namespace

Image decode_png(Bytes bytes, Decode what, const std::string& where) {
  Reader reader(bytes);
  const auto check = [&](bool done) {
    if (!done) throw DataError("{}: damaged PNG: {}", where, reader.source.message.data());
  };
  check(read_header(reader));
  const int type = png_get_color_type(reader.png, reader.info);
  Image image = allocate_image(png_get_image_height(reader.png, reader.info),
                               png_get_image_width(reader.png, reader.info),
                               (type & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1, what, where);
  if (png_get_bit_depth(reader.png, reader.info) == 16) image.notes.emplace_back(kNote16Bit);
  if ((type & PNG_COLOR_MASK_ALPHA) != 0) image.notes.emplace_back(kNoteAlpha);
  if (what == Decode::kHeader) return image;
  std::vector<png_bytep> rows(static_cast<std::size_t>(image.height));
  const std::size_t row_bytes = image.pixels.size() / rows.size();
  for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = image.pixels.data() + y * row_bytes;
  check(read_rows(reader, rows.data()));
  note_orientation(image, orientation_of(reader));
  return image;
}

}  // namespace assay
