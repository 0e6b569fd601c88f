#pragma once

#include "registry/feature_spec.h"
#include "registry/safetensors.h"
#include "registry/transformer.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace assay {

/// Sizes of a CLIP, read off its state dict.
struct ClipSizes {
  std::int64_t vision_width, vision_layers, patch, native_grid;
  std::int64_t text_width, text_layers, context, vocabulary;
  std::int64_t joint;
};

/// What the image encoder returns for B images of S px, N = (S / patch)^2 patches. Blocks are
/// counted from 1.
struct VisualFeatures {
  /// By stream name (`qk`, `vv`, ...): [L, B, 1 + N, J], ln_post and projection applied, not
  /// normalised, row 0 = class token.
  std::map<std::string, at::Tensor> patch;
  at::Tensor
      global;  ///< [B, J]: class token of the qk stream after the last block, times the projection.
  at::Tensor hidden;  ///< [L, B, 1 + N, W]: raw qk output of the tapped blocks; undefined unless
                      ///< asked for.
};

/// A frozen CLIP: both towers, from OpenAI's state dict naming
/// (`spec/methods-baselines.md` 1.6, 1.7, 1.10).
///
/// Forward passes are plain functions of the weights: they can be differentiated with respect to
/// inputs, and with respect to the weights where these require gradients (`tools/pretrain`).
class Clip {
 public:
  /// `weights` in any floating dtype, converted to float32; tensors that no CLIP has are dropped.
  /// Throws DataError, naming `origin`, tensor, shape found and shape expected, where the state
  /// dict is not a CLIP's.
  explicit Clip(const TensorMap& weights, const std::string& origin = "weights");

  [[nodiscard]] const ClipSizes& sizes() const { return sizes_; }
  [[nodiscard]] const TensorMap& weights() const { return weights_; }
  [[nodiscard]] at::Device device() const { return text_positions().device(); }

  /// Moves the weights to `device`; those that the products inside the blocks and the patches take
  /// become `products` (kFloat or kBFloat16), and so do these products. The residual streams,
  /// norms, projections and all that follows stay float32.
  void move_to(at::Device device, at::ScalarType products = at::kFloat);

  /// Images [B, 3, S, S] float32, normalised by CLIP's mean and deviation, S a multiple of the
  /// patch. What is tapped, the activation and the resize of the position table are those of `spec`
  /// (spec.backbone and spec.image_size are not read).
  /// Throws std::invalid_argument where they do not fit this backbone.
  [[nodiscard]] VisualFeatures encode_images(const at::Tensor& images,
                                             const FeatureSpec& spec,
                                             bool with_hidden = false) const;

  /// The position table for a grid of `grid` x `grid` patches: [1 + grid^2, W].
  [[nodiscard]] at::Tensor vision_positions(std::int64_t grid, const std::string& pos_resize) const;

  /// Rows of `token_embedding.weight`: ids int64 [...], on any device -> float32 [..., T].
  [[nodiscard]] at::Tensor embed_tokens(const at::Tensor& ids) const;

  /// Plain text tower without learned parts: ids int64 [P, R] (start, words, end, zeros; R <= 77;
  /// the row of the largest id is the end token) -> float32 [P, J], not normalised.
  [[nodiscard]] at::Tensor encode_texts(const at::Tensor& ids,
                                        const std::string& activation = "quick_gelu") const;

  /// Block `block` (from 1) of the text transformer.
  [[nodiscard]] const TransformerBlock& text_block(std::int64_t block) const;
  [[nodiscard]] const at::Tensor& text_positions() const;  ///< [77, T]
  /// ln_final and the text projection: [P, T] -> [P, J].
  [[nodiscard]] at::Tensor project_text(const at::Tensor& rows) const;

 private:
  void collect_blocks();

  ClipSizes sizes_{};
  TensorMap weights_;
  std::vector<TransformerBlock> vision_blocks_, text_blocks_;
};

/// The sizes that a state dict has. Throws DataError as the constructor of Clip.
[[nodiscard]] ClipSizes clip_sizes(const TensorMap& weights, const std::string& origin = "weights");

/// Names and shapes of all tensors of a CLIP of these sizes (`spec/methods-baselines.md` 1.10).
[[nodiscard]] std::vector<std::pair<std::string, std::vector<std::int64_t>>> clip_tensors(
    const ClipSizes& sizes);

}  // namespace assay
