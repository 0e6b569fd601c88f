#include "datasets/image.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

// Pillow's resize of 8-bit images (libImaging/Resample.c): two passes, each with weights in 22-bit
// fixed point, rounded half up and clipped to a byte.
namespace assay {
namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Keys' cubic with a = -0.5 (`spec/methods-baselines.md` 1.3).
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// For each output index its first input index and weights, `taps` of them (zeros at the end).
struct Weights {
  std::size_t taps = 0;
  std::vector<std::size_t> first;
  std::vector<std::int32_t> values;  // [out, taps]
};

Weights make_weights(std::size_t in, std::size_t out, Interpolation interpolation) {
  const bool cubic = interpolation == Interpolation::kBicubic;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = (cubic ? 2.0 : 1.0) * filter_scale;
  const auto size = static_cast<int>(in);

  Weights weights;
  weights.taps = std::min(static_cast<std::size_t>(std::ceil(support)) * 2 + 1, in);
  weights.first.resize(out);
  weights.values.resize(out * weights.taps);
  std::vector<double> row(weights.taps);
  for (std::size_t o = 0; o < out; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale;
    const int begin = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + support + 0.5), size);
    const auto count = static_cast<std::size_t>(end - begin);
    double sum = 0.0;
    for (std::size_t t = 0; t < count; ++t) {
      const double x = (static_cast<int>(t) + begin - centre + 0.5) * (1.0 / filter_scale);
      row[t] = cubic ? bicubic(x) : bilinear(x);
      sum += row[t];
    }
    // The tail of zeros must not reach beyond the input.
    const std::size_t first = std::min(static_cast<std::size_t>(begin), in - weights.taps);
    const std::size_t shift = static_cast<std::size_t>(begin) - first;
    weights.first[o] = first;
    for (std::size_t t = 0; t < count; ++t) {
      double weight = row[t];
      if (sum != 0.0) weight /= sum;
      const double fixed = weight * (1 << kPrecisionBits);
      weights.values[o * weights.taps + shift + t] =
          static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
  }
  return weights;
}

constexpr std::int32_t kHalf = 1 << (kPrecisionBits - 1);

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

template <std::size_t channels>
Image resize_rows(const Image& in, std::size_t width, const Weights& weights) {
  Image out;
  out.height = in.height;
  out.width = static_cast<std::int32_t>(width);
  out.channels = in.channels;
  out.pixels.resize(static_cast<std::size_t>(in.height) * width * channels);
  const std::uint8_t* row = in.pixels.data();
  std::uint8_t* to = out.pixels.data();
  for (std::int32_t y = 0; y < in.height;
       ++y, row += static_cast<std::size_t>(in.width) * channels) {
    for (std::size_t x = 0; x < width; ++x) {
      const std::int32_t* weight = weights.values.data() + x * weights.taps;
      const std::uint8_t* from = row + weights.first[x] * channels;
      std::array<std::int32_t, channels> sums;
      sums.fill(kHalf);
      for (std::size_t t = 0; t < weights.taps; ++t) {
        for (std::size_t c = 0; c < channels; ++c) sums[c] += weight[t] * from[t * channels + c];
      }
      for (std::size_t c = 0; c < channels; ++c) *to++ = to_byte(sums[c]);
    }
  }
  return out;
}

Image resize_columns(const Image& in, std::size_t height, const Weights& weights) {
  const std::size_t row_bytes = static_cast<std::size_t>(in.width * in.channels);
  Image out;
  out.height = static_cast<std::int32_t>(height);
  out.width = in.width;
  out.channels = in.channels;
  out.pixels.resize(height * row_bytes);
  constexpr std::size_t kBlock = 128;  // Sums of that many neighbours stay in registers and L1.
  std::array<std::int32_t, kBlock> sums{};
  for (std::size_t y = 0; y < height; ++y) {
    const std::int32_t* weight = weights.values.data() + y * weights.taps;
    const std::uint8_t* from = in.pixels.data() + weights.first[y] * row_bytes;
    std::uint8_t* to = out.pixels.data() + y * row_bytes;
    for (std::size_t x = 0; x < row_bytes; x += kBlock) {
      const std::size_t count = std::min(kBlock, row_bytes - x);
      sums.fill(kHalf);
      for (std::size_t t = 0; t < weights.taps; ++t) {
        const std::uint8_t* column = from + t * row_bytes + x;
        for (std::size_t i = 0; i < count; ++i) sums[i] += weight[t] * column[i];
      }
      for (std::size_t i = 0; i < count; ++i) to[x + i] = to_byte(sums[i]);
    }
  }
  return out;
}

}  // namespace

Image resize(const Image& image,
             std::int32_t height,
             std::int32_t width,
             Interpolation interpolation) {
  if (height < 1 || width < 1) throw std::invalid_argument("resize: a size below 1");
  Image result = image;
  if (width != image.width) {
    const auto columns = static_cast<std::size_t>(width);
    const Weights weights =
        make_weights(static_cast<std::size_t>(image.width), columns, interpolation);
    result = image.channels == 1 ? resize_rows<1>(image, columns, weights)
                                 : resize_rows<3>(image, columns, weights);
  }
  if (height != image.height) {
    const auto rows = static_cast<std::size_t>(height);
    result = resize_columns(
        result, rows, make_weights(static_cast<std::size_t>(image.height), rows, interpolation));
  }
  result.notes = image.notes;
  return result;
}

}  // namespace assay
