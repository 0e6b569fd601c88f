#pragma once

#include "registry/clip.h"
#include "registry/method_catalogue.h"
#include "registry/tokenizer.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace assay {

/// Features, labels and masks of B images: what a method sees of a data set.
struct Batch {
  at::Tensor patch_features;  ///< float32 [B, E, L, N, J], unit rows; E streams and L layers as the
                              ///< FeatureSpec lists.
  at::Tensor patch_norms;     ///< float32 [B, E, L, N]: lengths before scaling.
  at::Tensor global;          ///< float32 [B, J], not normalised.
  at::Tensor labels;          ///< int64 [B], 1 = anomalous. Undefined at inference.
  at::Tensor masks;  ///< uint8 [B, S, S], 1 = anomalous. Undefined where no image has a pixel term.
  at::Tensor has_pixel_term;    ///< bool [B]: false for images of sets without masks under
                                ///< `train.no_mask = skip`; under `zero` true, with a mask of zeros
                                ///< (`spec/ablations.md` 4.3).
  bool has_image_terms = true;  ///< False where all images of the training list have one label
                                ///< and `train.image_terms` is `auto`: no image-level loss.
  std::vector<std::string>
      category_words;  ///< [cls] string of each image, for class-aware prompts.

  /// The same on `device`, where a method's parameters are.
  [[nodiscard]] Batch to(at::Device device) const;
  /// Some of the images.
  [[nodiscard]] Batch select(std::span<const std::int64_t> images) const;
};

/// Result of a method for B images.
struct Prediction {
  at::Tensor image_score;  ///< float32 [B], higher is more anomalous.
  at::Tensor map_grid;     ///< float32 [B, g, g]: what is upsampled bilinearly and smoothed to the
                           ///< anomaly map. In the literal form the map itself, not smoothed.
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// A ZSAD method on a frozen backbone. Its parameters are on the backbone's device, and so are
/// batches, terms and predictions; the totals that `loss` takes are on the CPU, and so is the loss.
///
/// Training is written so that the number of ranks changes no bit (`design.md` 5): `shared_terms`
/// is what no image changes, computed once a step; `terms` gives differentiable **sums** over the
/// images of one virtual shard, never means; `loss` is a function of the sums over all shards. The
/// trainer adds sums and gradients in shard order.
class Method {
 public:
  virtual ~Method() = default;

  /// Learnable leaves by name, always in the same order; names as in the released checkpoints
  /// (`ctx_pos`, ...).
  [[nodiscard]] virtual const NamedTensors& parameters() const = 0;

  /// Values that the parameters produce without any image, differentiable in them.
  [[nodiscard]] virtual std::vector<at::Tensor> shared_terms() const = 0;

  /// Names of the entries of `terms`, for logs and errors.
  [[nodiscard]] virtual const std::vector<std::string>& term_names() const = 0;

  /// Sums over the images of `batch`, counts included: float64 [term_names().size()],
  /// differentiable in `shared` (detached copies of shared_terms()) and in the parameters that act
  /// on images directly. Several threads ask at once, for different images.
  [[nodiscard]] virtual at::Tensor terms(std::span<const at::Tensor> shared,
                                         const Batch& batch) const = 0;

  /// The scalar loss (float64 []) from the sums over the whole batch and from image-free terms of
  /// `shared`.
  [[nodiscard]] virtual at::Tensor loss(const at::Tensor& totals,
                                        std::span<const at::Tensor> shared) const = 0;

  /// Scores and maps with the present parameters, without gradients. What no image changes is
  /// computed by the first call after `prepare_inference`.
  virtual void prepare_inference() = 0;
  /// Inference from now on with the mean, over `members` (of the same kind, prepared; they outlive
  /// this), of the two texts before normalisation: the ensemble of prototypes of
  /// `spec/ablations.md` 5.2. Throws ConfigError unless the method has `two_texts`.
  virtual void average_texts(const std::vector<std::unique_ptr<Method>>& members);
  [[nodiscard]] virtual Prediction predict(const Batch& batch) const = 0;
};

/// What a method is made from. Clip and tokenizer outlive the method.
struct MethodContext {
  const Clip& clip;
  const Tokenizer& tokenizer;
  const ResolvedMethod& resolved;
  /// Computes what the released code computes, with none of the exact removals of
  /// `spec/methods-seeds.md` 3.10: whole prompts of 77 rows, each image's own, both channels of
  /// every map upsampled and kept. The same numbers, slowly: what profile jobs measure.
  bool literal = false;
};

/// A method with its initial parameters: each tensor drawn from (seed, its name) alone, as
/// `spec/methods-seeds.md` 3.2 says. Throws ConfigError where the method is unknown or cannot run
/// on this backbone.
[[nodiscard]] std::unique_ptr<Method> make_method(const MethodContext& context, std::uint64_t seed);

/// Replaces the values of the parameters. Throws DataError naming the first tensor that is missing,
/// unknown or of another shape.
void load_parameters(const Method& method, const TensorMap& values);

}  // namespace assay
