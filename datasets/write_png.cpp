#include "core/error.h"
#include "core/file.h"
#include "datasets/image.h"

#include <png.h>

#include <cstring>

namespace assay {

std::vector<std::byte> encode_png(const Image& image) {
  if (image.channels != 1 && image.channels != 3) {
    throw std::invalid_argument("encode_png: an image has 1 or 3 channels");
  }
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  const auto fail = [&] { throw DataError("PNG not written: {}", png.message); };

  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<std::byte> bytes(size);
  if (png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr) ==
      0) {
    fail();
  }
  bytes.resize(size);
  return bytes;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  write_file_atomically(path, encode_png(image));
}

}  // namespace assay
