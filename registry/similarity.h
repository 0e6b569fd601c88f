#pragma once

#include "registry/method.h"

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace assay {

/// Text features of a normal and an abnormal prompt: [1, J] for all images, or [B, J].
struct TextPair {
  at::Tensor normal, abnormal;
};

/// Rows scaled to length 1.
[[nodiscard]] at::Tensor unit(const at::Tensor& rows);
[[nodiscard]] TextPair unit(const TextPair& texts);

/// Logit of abnormal against normal of every patch, z.(f_a - f_n) / temperature, averaged over the
/// streams (`spec/ablations.md` 1.3): [B, L, N]. `texts` are unit vectors. `literal`: from all
/// products z_j f_j, stored (`spec/methods-seeds.md` 3.10, R10).
[[nodiscard]] at::Tensor patch_logits(const at::Tensor& patch_features,
                                      const TextPair& texts,
                                      double temperature,
                                      bool literal = false);

/// [u(g).f_n, u(g).f_a] / temperature of global features [B, J]: float64 [B, 2].
[[nodiscard]] at::Tensor image_logits(const at::Tensor& global,
                                      const TextPair& texts,
                                      double temperature);
/// Softmax over the pair, abnormal entry: float64 [B].
[[nodiscard]] at::Tensor abnormal_probability(const at::Tensor& image_logits);

/// The sum over L maps of (abnormal + 1 - normal) / 2, both channels upsampled to `size` px, of
/// abnormal probabilities [B, L, N]: [B, size, size] (`spec/methods-seeds.md` 3.10, R11 and R15).
[[nodiscard]] at::Tensor literal_map(const at::Tensor& probability, std::int64_t size);

/// [B, N] -> [B, g, g], row-major.
[[nodiscard]] at::Tensor as_grid(const at::Tensor& patches);

/// float64 [2]: images with image terms and images with a pixel term, the counts that losses divide
/// by (`spec/ablations.md` 4.3).
[[nodiscard]] at::Tensor count_images(const Batch& batch);
/// The sum over no image: float64 [1], 0.
[[nodiscard]] at::Tensor no_sum(const Batch& batch);

/// Text pairs of class-aware prompts: each category word is encoded once.
class WordTexts {
 public:
  explicit WordTexts(std::function<TextPair(const std::string&)> encode);

  /// The rows of the words' pairs, [B, J] each.
  [[nodiscard]] TextPair operator()(const std::vector<std::string>& words);

 private:
  std::function<TextPair(const std::string&)> encode_;
  std::map<std::string, TextPair> pairs_;
};

}  // namespace assay
