#pragma once

#include "registry/safetensors.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>

namespace assay {

/// AdamW (Loshchilov and Hutter, ICLR 2019) with warm-up, a cosine to zero, clipping by the global
/// norm and an exponential average of the weights.
struct OptimiserOptions {
  double peak_rate = 1e-3;
  std::int64_t warm_up_steps = 200;
  std::int64_t steps = 6000;  ///< Of the whole run: the rate is zero after the last.
  double beta1 = 0.9, beta2 = 0.98, epsilon = 1e-6;
  double weight_decay = 0.05;  ///< Of matrices, not of embeddings, positions, norms and biases.
  double largest_norm = 1.0;
  double average_decay = 0.998;
};

/// Everything that a killed run goes on from.
struct PretrainState {
  std::int64_t step = 0;    ///< Steps done.
  TensorMap weights;        ///< Leaves of autograd.
  TensorMap average;        ///< What is exported.
  TensorMap first, second;  ///< Moments.
};

/// A state before the first step.
[[nodiscard]] PretrainState fresh_state(const TensorMap& weights);

/// Learning rate of step `step` (from 0).
[[nodiscard]] double learning_rate(const OptimiserOptions& options, std::int64_t step);

/// One step on the gradients of `state.weights`, which it clears. Of the token table only the rows
/// `used_tokens` (int64, distinct) are touched. Returns the norm of the gradients before clipping.
/// Throws JobError where it is not finite.
double optimiser_step(const OptimiserOptions& options,
                      PretrainState& state,
                      const at::Tensor& used_tokens);

/// One file, written atomically.
void save_state(const std::filesystem::path& path, const PretrainState& state);
[[nodiscard]] PretrainState load_state(const std::filesystem::path& path);

}  // namespace assay
