#include "datasets/image.h"

#include "core/error.h"
#include "core/file.h"
#include "datasets/decode.h"

#include <cstring>

namespace assay {
namespace {

bool begins_with(Bytes bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

Image decode(const std::filesystem::path& path, Decode what) {
  using namespace std::string_view_literals;
  const MappedFile file(path);
  const Bytes bytes = file.bytes();
  const std::string where = path.string();
  if (begins_with(bytes, "\xFF\xD8\xFF"sv)) return decode_jpeg(bytes, what, where);
  if (begins_with(bytes, "\x89PNG\r\n\x1A\n"sv)) return decode_png(bytes, what, where);
  if (begins_with(bytes, "BM"sv)) return decode_bmp(bytes, what, where);
  if (begins_with(bytes, "II*\0"sv) || begins_with(bytes, "MM\0*"sv)) {
    return decode_tiff(bytes, what, where);
  }
  throw DataError("{}: not an image: {} bytes that begin like no JPEG, PNG, BMP or TIFF", where,
                  bytes.size());
}

}  // namespace

Image read_image(const std::filesystem::path& path) { return decode(path, Decode::kPixels); }

Image read_image_header(const std::filesystem::path& path) { return decode(path, Decode::kHeader); }

Image allocate_image(std::int64_t height,
                     std::int64_t width,
                     std::int32_t channels,
                     Decode what,
                     const std::string& where) {
  constexpr std::int64_t kMaxPixels = std::int64_t{1} << 28;
  if (height < 1 || width < 1) throw DataError("{}: an image of {} x {}", where, width, height);
  if (height > kMaxPixels / width) {
    throw DataError("{}: {} x {} pixels, more than the {} that are read; is it an image bomb?",
                    where, width, height, kMaxPixels);
  }
  Image image;
  image.height = static_cast<std::int32_t>(height);
  image.width = static_cast<std::int32_t>(width);
  image.channels = channels;
  if (what == Decode::kPixels) {
    image.pixels.resize(static_cast<std::size_t>(height * width * channels));
  }
  return image;
}

int exif_orientation(Bytes exif) {
  if (exif.size() < 8) return 1;
  const bool big_endian = exif[0] == std::byte{'M'};
  const auto number = [&](std::size_t offset, std::size_t size) -> std::size_t {
    if (offset > exif.size() || size > exif.size() - offset) return 0;
    std::size_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value =
          value << 8 | std::to_integer<std::size_t>(exif[offset + (big_endian ? i : size - 1 - i)]);
    }
    return value;
  };
  constexpr std::size_t kOrientationTag = 0x0112, kEntryBytes = 12;
  const std::size_t directory = number(4, 4);
  const std::size_t num_entries = number(directory, 2);
  for (std::size_t i = 0; i < num_entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (number(entry, 2) != kOrientationTag) continue;
    const std::size_t value = number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

void note_orientation(Image& image, int orientation) {
  if (orientation == 1) return;
  image.notes.push_back(fmt::format("EXIF orientation {} ignored", orientation));
}

Image to_grey(const Image& image) {
  if (image.channels == 1) return image;
  Image grey = image;
  grey.channels = 1;
  grey.pixels.resize(image.pixels.size() / 3);
  for (std::size_t i = 0; i < grey.pixels.size(); ++i) {
    const std::uint8_t* rgb = image.pixels.data() + 3 * i;
    // ITU-R 601-2 luma in 16-bit fixed point, as Pillow's convert('L').
    const std::uint32_t luma = 19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 32768U;
    grey.pixels[i] = static_cast<std::uint8_t>(luma >> 16);
  }
  return grey;
}

}  // namespace assay
