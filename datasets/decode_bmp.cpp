#include "core/error.h"
#include "datasets/decode.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#include <stb/stb_image.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

namespace assay {
namespace {

template <typename T>
T little_endian(Bytes bytes, std::size_t offset) {
  T value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// stb_image reads zeros beyond the end of the file, so the length is checked against the header.
Image read_header(Bytes bytes, Decode what, const std::string& where) {
  constexpr std::size_t kFileHeader = 14;
  if (bytes.size() < kFileHeader + 12) throw DataError("{}: damaged BMP: no header", where);
  const auto offset = little_endian<std::uint32_t>(bytes, 10);
  const auto header = little_endian<std::uint32_t>(bytes, 14);
  std::int64_t width = 0, height = 0, bits = 0;
  if (header == 12) {
    width = little_endian<std::uint16_t>(bytes, 18);
    height = little_endian<std::uint16_t>(bytes, 20);
    bits = little_endian<std::uint16_t>(bytes, 24);
  } else {
    if (bytes.size() < kFileHeader + 40) throw DataError("{}: damaged BMP: no header", where);
    width = little_endian<std::int32_t>(bytes, 18);
    height = std::abs(std::int64_t{little_endian<std::int32_t>(bytes, 22)});
    bits = little_endian<std::uint16_t>(bytes, 28);
  }
  (void)allocate_image(height, width, 3, Decode::kHeader, where);  // Refuses senseless sizes.
  const std::int64_t row_bytes = (width * bits + 31) / 32 * 4;
  const std::int64_t needed = offset + row_bytes * height;
  if (needed > static_cast<std::int64_t>(bytes.size())) {
    throw DataError("{}: damaged BMP: {} bytes long, its header needs {}", where, bytes.size(),
                    needed);
  }
  Image image = allocate_image(height, width, 3, what, where);
  if (bits == 32) image.notes.emplace_back(kNoteAlpha);
  return image;
}

}  // namespace

Image decode_bmp(Bytes bytes, Decode what, const std::string& where) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw DataError("{}: a BMP of more than 2 GiB", where);
  }
  Image image = read_header(bytes, what, where);
  if (what == Decode::kHeader) return image;
  int width = 0, height = 0, stored_channels = 0;
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()),
                            static_cast<int>(bytes.size()), &width, &height, &stored_channels,
                            STBI_rgb),
      &std::free);
  if (!pixels) throw DataError("{}: damaged BMP: {}", where, stbi_failure_reason());
  std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  return image;
}

}  // namespace assay
