#include "registry/similarity.h"

#include <ATen/ATen.h>

#include <cmath>

namespace assay {

at::Tensor unit(const at::Tensor& rows) { return rows / rows.norm(2, -1, /*keepdim=*/true); }

TextPair unit(const TextPair& texts) { return {unit(texts.normal), unit(texts.abnormal)}; }

at::Tensor patch_logits(const at::Tensor& patch_features,
                        const TextPair& texts,
                        double temperature,
                        bool literal) {
  const auto sizes = patch_features.sizes();  // [B, E, L, N, J]
  if (literal) {
    const at::Tensor pair = at::stack({texts.normal, texts.abnormal}, 1);  // [1 or B, 2, J]
    const at::Tensor cosines =
        (patch_features.unsqueeze(4) * pair.view({-1, 1, 1, 1, 2, sizes[4]})).sum(-1);
    return (cosines.select(4, 1) - cosines.select(4, 0)).mean(1) / temperature;
  }
  const at::Tensor difference = texts.abnormal - texts.normal;
  at::Tensor cosines;
  if (difference.size(0) == 1) {
    cosines = at::matmul(patch_features, difference[0]);
  } else if (patch_features
                 .is_cpu()) {  // Image by image: a batched product with one column is slow.
    std::vector<at::Tensor> of_images;
    for (std::int64_t i = 0; i < sizes[0]; ++i) {
      of_images.push_back(at::matmul(patch_features[i], difference[i]));
    }
    cosines = at::stack(of_images);
  } else {
    cosines =
        at::matmul(patch_features.flatten(1, 3), difference.unsqueeze(2)).view(sizes.slice(0, 4));
  }
  // [B, E, L, N] -> [B, L, N]
  return (sizes[1] == 1 ? cosines.select(1, 0) : cosines.mean(1)) / temperature;
}

at::Tensor image_logits(const at::Tensor& global, const TextPair& texts, double temperature) {
  const at::Tensor features = unit(global);
  const at::Tensor cosines =
      at::stack({(features * texts.normal).sum(1), (features * texts.abnormal).sum(1)}, 1);
  return cosines.to(at::kDouble) / temperature;
}

at::Tensor abnormal_probability(const at::Tensor& image_logits) {
  return at::sigmoid(image_logits.select(1, 1) - image_logits.select(1, 0));
}

at::Tensor literal_map(const at::Tensor& probability, std::int64_t size) {
  at::Tensor sum;
  for (std::int64_t layer = 0; layer < probability.size(1); ++layer) {
    const at::Tensor abnormal = as_grid(probability.select(1, layer));
    const at::Tensor both = at::upsample_bilinear2d(at::stack({1 - abnormal, abnormal}, 1),
                                                    {size, size}, /*align_corners=*/false);
    const at::Tensor map = (both.select(1, 1) + 1 - both.select(1, 0)) / 2;
    sum = sum.defined() ? sum + map : map;
  }
  return sum;
}

at::Tensor as_grid(const at::Tensor& patches) {
  const auto grid = std::llround(std::sqrt(static_cast<double>(patches.size(1))));
  return patches.reshape({patches.size(0), grid, grid});
}

at::Tensor count_images(const Batch& batch) {
  const double images = batch.has_image_terms ? static_cast<double>(batch.global.size(0)) : 0;
  return at::cat({no_sum(batch) + images, batch.has_pixel_term.sum().to(at::kDouble).view({1})});
}

at::Tensor no_sum(const Batch& batch) {
  return at::zeros({1}, batch.global.options().dtype(at::kDouble));
}

WordTexts::WordTexts(std::function<TextPair(const std::string&)> encode)
    : encode_(std::move(encode)) {}

TextPair WordTexts::operator()(const std::vector<std::string>& words) {
  std::vector<at::Tensor> normal, abnormal;
  for (const std::string& word : words) {
    auto found = pairs_.find(word);
    if (found == pairs_.end()) found = pairs_.emplace(word, encode_(word)).first;
    normal.push_back(found->second.normal);
    abnormal.push_back(found->second.abnormal);
  }
  return {at::cat(normal), at::cat(abnormal)};
}

}  // namespace assay
