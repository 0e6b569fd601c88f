#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace assay {

/// Decoded pixels, 8 bit, row-major, interleaved.
struct Image {
  std::int32_t height = 0, width = 0;
  std::int32_t channels = 0;  ///< 1 (grey) or 3 (RGB); alpha is dropped, never blended.
  std::vector<std::uint8_t> pixels;
  std::vector<std::string>
      notes;  ///< What a person should know: `16-bit`, `EXIF orientation 6 ignored`, ...
};

/// Decodes JPEG, PNG, BMP or TIFF, chosen by magic bytes (`spec/datasets.md` 2.1). Orientation tags
/// are ignored. Throws DataError with the path: unreadable, truncated, not an image, more than 2^28
/// pixels.
[[nodiscard]] Image read_image(const std::filesystem::path& path);

/// The same without pixels: size, channels and notes, without decoding.
[[nodiscard]] Image read_image_header(const std::filesystem::path& path);

/// 8-bit luminance as Pillow's convert('L').
[[nodiscard]] Image to_grey(const Image& image);

enum class Interpolation { kBilinear, kBicubic };

/// Pillow's antialiased resize, byte for byte (`spec/methods-baselines.md` 1.3; golden `resize`).
[[nodiscard]] Image resize(const Image& image,
                           std::int32_t height,
                           std::int32_t width,
                           Interpolation interpolation);

/// Stretched to size x size (bicubic), grey repeated, scaled and normalised by CLIP's mean and
/// deviation: float32 [3, size, size] into `out`.
void preprocess(const Image& image, std::int32_t size, float* out);

/// The binary mask at `size` x `size` (`spec/datasets.md` 2.2): luminance > 0, bilinear, byte >=
/// 128. Bytes 0 and 1.
[[nodiscard]] std::vector<std::uint8_t> preprocess_mask(const Image& mask, std::int32_t size);

/// An 8-bit PNG of one or three channels.
[[nodiscard]] std::vector<std::byte> encode_png(const Image& image);

/// Writes an 8-bit PNG atomically.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace assay
