#include "tests/evaluator/pixel_images.h"

#include <algorithm>
#include <cmath>

namespace assay {

PixelMetrics metrics_of(const std::vector<oracle::PixelImage>& images,
                        const PixelOptions& options,
                        int connectivity) {
  std::vector<std::span<const float>> maps;
  std::vector<MaskRuns> masks;
  for (const oracle::PixelImage& image : images) {
    maps.emplace_back(image.scores);
    masks.push_back(oracle::flood_fill(image.mask, image.height, image.width, connectivity));
  }
  return pixel_metrics(maps, masks, options);
}

std::vector<oracle::PixelImage> specification_scores(int num_images, int size) {
  const auto num_pixels = static_cast<std::size_t>(size * size);
  std::vector<oracle::PixelImage> images(
      num_images, {size, size, oracle::Scores(num_pixels), oracle::Labels(num_pixels)});
  const auto step = [](std::uint64_t x) { return (x * 1103515245 + 12345) % (1ULL << 31); };
  for (std::uint64_t i = 0; i < images.size() * num_pixels; ++i) {
    images[i / num_pixels].scores[i % num_pixels] =
        static_cast<float>(static_cast<double>(step(step(i))) / 2147483648.0);
  }
  return images;
}

void mark(oracle::PixelImage& image, int top, int bottom, int left, int right) {
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) image.mask[y * image.width + x] = 1;
  }
}

std::vector<oracle::PixelImage> specification_images() {
  std::vector<oracle::PixelImage> images = specification_scores(4, 16);
  mark(images[0], 2, 5, 3, 7);
  mark(images[0], 5, 7, 7, 9);
  mark(images[1], 10, 14, 1, 3);
  mark(images[1], 1, 2, 15, 16);
  mark(images[2], 8, 9, 8, 9);
  for (oracle::PixelImage& image : images) {
    for (std::size_t i = 0; i < image.scores.size(); ++i) {
      if (image.mask[i] != 0) image.scores[i] = std::min(image.scores[i] + 0.35F, 1.0F);
    }
  }
  return images;
}

std::vector<oracle::PixelImage> random_images(std::mt19937& rng, const ImageStyle& style) {
  std::uniform_real_distribution<double> uniform(0, 1);
  std::uniform_int_distribution<std::int32_t> size(3, 14);
  std::vector<oracle::PixelImage> images(style.num_images);
  for (int n = 0; n < style.num_images; ++n) {
    oracle::PixelImage& image = images[n];
    image.height = size(rng);
    image.width = size(rng);
    for (int i = 0; i < image.height * image.width; ++i) {
      const bool anomalous = n + 1 < style.num_images && uniform(rng) < style.density;
      double share = std::clamp(uniform(rng) * 0.8 + (anomalous ? 0.2 : 0.0), 0.0, 1.0);
      if (style.levels > 0) share = std::floor(share * style.levels) / style.levels;
      image.mask.push_back(anomalous ? 1 : 0);
      image.scores.push_back(
          static_cast<float>(style.lowest + share * (double{style.highest} - style.lowest)));
    }
  }
  images[0].mask[0] = 1;  // There is always an anomalous pixel.
  return images;
}

}  // namespace assay
