#pragma once

#include "core/comm/communicator.h"
#include "registry/method.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace assay {

/// Where training images come from: features, labels and masks by index.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  [[nodiscard]] virtual std::int64_t size() const = 0;  ///< Images of the auxiliary set.
  /// Several threads ask at once.
  [[nodiscard]] virtual Batch load(std::span<const std::int64_t> indices) const = 0;
  /// What an error calls image `index`: its path, where there is one.
  [[nodiscard]] virtual std::string describe(std::int64_t index) const;
};

/// Settings of one training (`spec/methods-seeds.md` 3.1). Adam: eps 1e-8, no decay, no schedule.
struct TrainOptions {
  std::int64_t epochs = 15;
  std::int64_t batch_size = 8;
  double learning_rate = 1e-3;
  double beta1 = 0.5, beta2 = 0.999;
  std::uint64_t seed = 0;
  std::int64_t images_per_shard = 2;      ///< Virtual shards depend on the batch alone.
  std::filesystem::path state_path;       ///< Where the state is kept for resuming; empty: nowhere.
  std::int64_t steps_per_checkpoint = 0;  ///< 0: at the end of each epoch only.
  std::string identity;                   ///< Of the job: a state of another one is not resumed.
  /// A rank computes its shards as one batch, and gradients are added where they are: for GPUs.
  /// Bits then depend on the number of ranks.
  bool one_batch_a_rank = false;
  std::string numerics;  ///< What computes, where it is not this CPU: a state remembers it.
};

/// What one step did, the same on every rank.
struct StepReport {
  std::int64_t epoch, step, steps;  ///< From 1; `steps` in all.
  double loss;
  std::vector<double> totals;  ///< Method::term_names.
};

struct TrainResult {
  std::int64_t steps = 0;
  std::vector<double> epoch_losses;  ///< Mean over the steps of each epoch.
  bool resumed = false;
  /// Steps before and after a resumption ran with another CPU capability or number of threads: the
  /// bits may differ from those of one run.
  bool mixed_numerics = false;
  bool interrupted = false;  ///< `should_stop` said so on some rank; the state is saved.
};

/// Optimises the method's parameters in place, data-parallel over `comm`.
///
/// The image order of an epoch and every draw depend on seed and epoch alone. The batch is cut into
/// virtual shards of `images_per_shard` images, dealt to the ranks in contiguous pieces; sums and
/// gradients are added in shard order, so that any number of ranks gives the same bits on one kind
/// of CPU. Everything runs on the device of the parameters and batches. Rank 0 writes the state
/// (parameters, Adam moments, step) as safetensors, atomically; the next call with the same
/// identity goes on from it with the same bits.
///
/// A collective call. Throws JobError, on every rank alike, naming the step and the images of the
/// first bad shard where a sum, the loss or a gradient is NaN or infinite; also where one rank
/// alone fails to load images or to save the state. `on_step` and `should_stop` are called on every
/// rank and do not throw.
TrainResult train(Method& method,
                  const BatchSource& source,
                  const TrainOptions& options,
                  Communicator& comm,
                  const std::function<void(const StepReport&)>& on_step = {},
                  const std::function<bool()>& should_stop = {});

}  // namespace assay
