#include "datasets/image.h"

#include <algorithm>
#include <array>

namespace assay {
namespace {

// CLIP's statistics, red, green, blue (`spec/methods-baselines.md` 1.3).
constexpr std::array<float, 3> kMean = {0.48145466F, 0.4578275F, 0.40821073F};
constexpr std::array<float, 3> kDeviation = {0.26862954F, 0.26130258F, 0.27577711F};

}  // namespace

void preprocess(const Image& image, std::int32_t size, float* out) {
  const Image resized = resize(image, size, size, Interpolation::kBicubic);
  const std::size_t num_pixels = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  const auto channels = static_cast<std::size_t>(resized.channels);
  for (std::size_t c = 0; c < 3; ++c) {
    std::array<float, 256> value{};
    for (std::size_t byte = 0; byte < value.size(); ++byte) {
      value[byte] = (static_cast<float>(byte) / 255.0F - kMean[c]) / kDeviation[c];
    }
    const std::uint8_t* from = resized.pixels.data() + (channels == 1 ? 0 : c);
    float* plane = out + c * num_pixels;
    for (std::size_t i = 0; i < num_pixels; ++i) plane[i] = value[from[i * channels]];
  }
}

std::vector<std::uint8_t> preprocess_mask(const Image& mask, std::int32_t size) {
  Image binary = to_grey(mask);
  for (std::uint8_t& pixel : binary.pixels) pixel = pixel > 0 ? 255 : 0;
  std::vector<std::uint8_t> result =
      std::move(resize(binary, size, size, Interpolation::kBilinear).pixels);
  for (std::uint8_t& pixel : result) pixel = pixel >= 128 ? 1 : 0;  // byte / 255 > 0.5
  return result;
}

}  // namespace assay
