#pragma once

#include "tools/pretrain/captions.h"

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace assay {

/// One training step's input: B images, half of them the defective twins of the other half.
struct PretrainBatch {
  std::int64_t step = 0;
  at::Tensor images;           ///< float32 [B, 3, S, S], normalised as CLIP's.
  at::Tensor anomalous;        ///< float32 [B], 0 or 1.
  at::Tensor patch_share;      ///< float32 [B, N]: share of each patch that the mask covers.
  at::Tensor texts;            ///< int64 [U, R]: distinct texts, padded with zeros.
  at::Tensor caption;          ///< int64 [B]: row of each image's caption.
  at::Tensor of_state_alone;   ///< float32 [B]: 1 where that speaks of the state alone.
  at::Tensor state_normal;     ///< int64 [P]: rows of the flawless halves of the state pairs.
  at::Tensor state_anomalous;  ///< int64 [P]: and of the anomalous ones.
  at::Tensor odd_normal;       ///< int64 [O]: rows of `normal`,
  at::Tensor odd_anomalous;    ///< int64 [O]: and of `anomalous` or `abnormal`.
  at::Tensor oddness;          ///< float32 [B]: how likely each image is called that.
};

struct BatchOptions {
  std::uint64_t seed = 1;
  std::int64_t twins = 24;       ///< Pairs of drawings a batch.
  std::int64_t image_size = 64;  ///< Pixels.
  std::int64_t patch = 8;
  std::int64_t state_pairs = 6, odd_pairs = 3;
};

/// The batch of a step: a function of the options and the step alone.
[[nodiscard]] PretrainBatch make_batch(const BatchOptions& options,
                                       std::int64_t step,
                                       CaptionWriter& writer);

/// RGB bytes to what CLIP reads: float32 [3, S, S] into `out`.
void normalise_pixels(const Drawing& drawing, float* out);

/// Token ids as a matrix, padded with zeros: int64 [texts, longest].
[[nodiscard]] at::Tensor stack_ids(const std::vector<TokenIds>& texts);

/// Draws the batches of steps `first`, `first` + 1, ... ahead in a thread of its own.
class BatchQueue {
 public:
  BatchQueue(const BatchOptions& options, std::int64_t first, const Tokenizer& tokenizer);
  ~BatchQueue();
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;

  /// The next step's batch; waits for it. Rethrows what the drawing thread threw.
  [[nodiscard]] PretrainBatch next();

 private:
  void work(std::int64_t step);

  BatchOptions options_;
  CaptionWriter writer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<PretrainBatch> ready_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;  // Last: it uses all above.
};

}  // namespace assay
