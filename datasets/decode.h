#pragma once

#include "datasets/image.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

/// One decoder a file format. `where` is the path that errors name.
namespace assay {

using Bytes = std::span<const std::byte>;

/// How much of a file is wanted: size, channels and notes of the header alone, or the pixels too.
enum class Decode { kHeader, kPixels };

[[nodiscard]] Image decode_jpeg(Bytes bytes, Decode what, const std::string& where);
[[nodiscard]] Image decode_png(Bytes bytes, Decode what, const std::string& where);
[[nodiscard]] Image decode_bmp(Bytes bytes, Decode what, const std::string& where);
[[nodiscard]] Image decode_tiff(Bytes bytes, Decode what, const std::string& where);

/// An image of that size, its pixels allocated where they are wanted. Throws DataError where a side
/// is 0 or there are more than 2^28 pixels.
[[nodiscard]] Image allocate_image(std::int64_t height,
                                   std::int64_t width,
                                   std::int32_t channels,
                                   Decode what,
                                   const std::string& where);

/// Orientation (1..8) in a block of EXIF data that begins with its TIFF header; 1 where none is
/// given.
[[nodiscard]] int exif_orientation(Bytes exif);

/// Adds a note where `orientation` is not 1.
void note_orientation(Image& image, int orientation);

/// The note of `spec/datasets.md` 2.1 and case D01: the upper byte of each value is kept.
inline constexpr const char* kNote16Bit =
    "16-bit: the upper 8 bits are kept (the released Python code would clip to white)";
inline constexpr const char* kNoteAlpha = "alpha channel dropped";

}  // namespace assay
