#include "datasets/image.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

// Pillow's resize of 8-bit images (libImaging/Resample.c): two passes, along the rows first, each
// with weights in 22-bit fixed point, rounded half up and clipped to a byte. (Pillow 13 takes the
// columns first where that is cheaper, which moves single bytes by one; published numbers and the
// golden file are of Pillow 9.)
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

constexpr std::size_t kLanes = 32;  // Outputs computed side by side; a known count is vectorised.

/// out[i] = sum over t of weight[t] * in[t * stride + i], rounded half up and clipped to a byte.
void weigh(const std::uint8_t* in,
           std::size_t stride,
           const std::int32_t* weight,
           std::size_t taps,
           std::uint8_t* out) {
  std::array<std::int32_t, kLanes> sums;
  sums.fill(1 << (kPrecisionBits - 1));
  for (std::size_t t = 0; t < taps; ++t, in += stride) {
    for (std::size_t i = 0; i < kLanes; ++i) sums[i] += weight[t] * in[i];
  }
  for (std::size_t i = 0; i < kLanes; ++i) {
    out[i] = static_cast<std::uint8_t>(std::clamp(sums[i] >> kPrecisionBits, 0, 255));
  }
}

Image allocate(std::int32_t height, std::int32_t width, std::int32_t channels) {
  Image image{height, width, channels, {}, {}};
  image.pixels.resize(static_cast<std::size_t>(height) *
                      static_cast<std::size_t>(width * channels));
  return image;
}

Image resize_height(const Image& in, std::int32_t height, Interpolation interpolation) {
  const Weights weights = make_weights(static_cast<std::size_t>(in.height),
                                       static_cast<std::size_t>(height), interpolation);
  Image out = allocate(height, in.width, in.channels);
  const auto row_bytes = static_cast<std::size_t>(in.width * in.channels);
  // Rows that do not divide into lanes end in a copy of their last bytes.
  std::vector<std::uint8_t> tail(weights.taps * kLanes);
  std::array<std::uint8_t, kLanes> tail_out{};
  const std::size_t tail_bytes = row_bytes % kLanes, whole = row_bytes - tail_bytes;
  for (std::size_t y = 0; y < weights.first.size(); ++y) {
    const std::int32_t* weight = weights.values.data() + y * weights.taps;
    const std::uint8_t* from = in.pixels.data() + weights.first[y] * row_bytes;
    std::uint8_t* to = out.pixels.data() + y * row_bytes;
    for (std::size_t x = 0; x < whole; x += kLanes) {
      weigh(from + x, row_bytes, weight, weights.taps, to + x);
    }
    for (std::size_t t = 0; t < weights.taps; ++t) {
      std::copy_n(from + t * row_bytes + whole, tail_bytes, tail.data() + t * kLanes);
    }
    weigh(tail.data(), kLanes, weight, weights.taps, tail_out.data());
    std::copy_n(tail_out.data(), tail_bytes, to + whole);
  }
  return out;
}

// Kept as [column, channel, row] in blocks of rows, an image is resized along its rows as above.
Image resize_width(const Image& in, std::int32_t width, Interpolation interpolation) {
  const Weights weights = make_weights(static_cast<std::size_t>(in.width),
                                       static_cast<std::size_t>(width), interpolation);
  Image out = allocate(in.height, width, in.channels);
  const auto channels = static_cast<std::size_t>(in.channels);
  const std::size_t in_bytes = static_cast<std::size_t>(in.width) * channels;
  const std::size_t out_bytes = static_cast<std::size_t>(width) * channels;
  const auto height = static_cast<std::size_t>(in.height);
  std::vector<std::uint8_t> columns(in_bytes * kLanes), resized(out_bytes * kLanes);
  for (std::size_t y = 0; y < height; y += kLanes) {
    const std::size_t rows = std::min(kLanes, height - y);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::uint8_t* from = in.pixels.data() + (y + row) * in_bytes;
      for (std::size_t i = 0; i < in_bytes; ++i) columns[i * kLanes + row] = from[i];
    }
    for (std::size_t i = 0; i < out_bytes; ++i) {
      const std::size_t x = i / channels;
      weigh(columns.data() + (weights.first[x] * channels + i % channels) * kLanes,
            channels * kLanes, weights.values.data() + x * weights.taps, weights.taps,
            resized.data() + i * kLanes);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      std::uint8_t* to = out.pixels.data() + (y + row) * out_bytes;
      for (std::size_t i = 0; i < out_bytes; ++i) to[i] = resized[i * kLanes + row];
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
  if (width != image.width) result = resize_width(result, width, interpolation);
  if (height != image.height) result = resize_height(result, height, interpolation);
  result.notes = image.notes;
  return result;
}

}  // namespace assay
