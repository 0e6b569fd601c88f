#include "trainer/train.h"

#include "core/comm/agree.h"
#include "core/error.h"
#include "trainer/adam.h"
#include "trainer/checkpoint.h"
#include "trainer/sampler.h"
#include "trainer/shard_sums.h"
#include "trainer/shared_terms.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <utility>

namespace assay {

std::string BatchSource::describe(std::int64_t index) const {
  return fmt::format("image {}", index);
}

namespace {

std::int64_t numel(const Tensors& tensors) {
  std::int64_t count = 0;
  for (const at::Tensor& tensor : tensors) count += tensor.numel();
  return count;
}

// Views of `flat` in the shapes of `like`.
Tensors split_like(const at::Tensor& flat, const Tensors& like) {
  Tensors views;
  std::int64_t offset = 0;
  for (const at::Tensor& tensor : like) {
    views.push_back(flat.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
    offset += tensor.numel();
  }
  return views;
}

// One row over all leaves; what has no gradient is zero.
at::Tensor flattened(const Tensors& gradients, const Tensors& leaves) {
  Tensors rows;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const at::Tensor& gradient = gradients[i];
    rows.push_back(gradient.defined()
                       ? gradient.to(at::kFloat).reshape(-1)
                       : at::zeros({leaves[i].numel()}, leaves[i].options().dtype(at::kFloat)));
  }
  return at::cat(rows);
}

constexpr std::int64_t kAdamGrain = 1 << 16;  // Elements a thread takes at least.

// Calls `compute` for each shard: on as many threads as LibTorch may use, each of which computes
// whole shards as one alone would, with the same bits.
void for_each_shard(ShardRange shards, const std::function<void(std::int64_t shard)>& compute) {
  at::parallel_for(shards.begin, shards.end, /*grain_size=*/1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t shard = begin; shard < end; ++shard) compute(shard);
                   });
}

// One training: what stays the same over its steps.
class Training {
 public:
  Training(Method& method,
           const BatchSource& source,
           const TrainOptions& options,
           Communicator& comm)
      : method_(method),
        source_(source),
        options_(options),
        comm_(comm),
        num_terms_(method.term_names().size()),
        sampler_(source.size(), options.batch_size, options.images_per_shard, options.seed),
        state_(initial_state(method.parameters())) {
    if (!options.numerics.empty()) state_.numerics = options.numerics;
    for (const auto& [name, value] : method.parameters()) {
      if (value.scalar_type() != at::kFloat || !value.is_contiguous() || !value.requires_grad()) {
        throw std::invalid_argument("parameter '" + name +
                                    "' is not a contiguous float32 leaf with a gradient");
      }
      parameters_.push_back(value);
    }
  }

  TrainResult run(const std::function<void(const StepReport&)>& on_step,
                  const std::function<bool()>& should_stop);

 private:
  [[nodiscard]] std::int64_t num_steps() const {
    return options_.epochs * sampler_.steps_per_epoch();
  }

  // Steps state_ on by one step, or returns nothing where some rank wishes to stop.
  std::optional<StepReport> take_step(bool wishes_to_stop);
  Tensors terms_of_local_shards(const SharedTerms& shared, ShardRange local) const;
  at::Tensor gradient_of_shards(const Tensors& terms,
                                const SharedTerms& shared,
                                const at::Tensor& seed,
                                ShardRange local);
  void update(const Tensors& parameter_gradients);
  void check_sums(const ShardSums& sums) const;
  void save();

  [[nodiscard]] std::string where() const;
  // failure_of `compute` with the step in front.
  [[nodiscard]] std::string failure_of_step(const std::function<void()>& compute) const;
  [[noreturn]] void fail(const std::string& what, const VirtualShard& images) const;
  [[nodiscard]] VirtualShard all_images() const;

  Method& method_;
  const BatchSource& source_;
  const TrainOptions& options_;
  Communicator& comm_;
  std::size_t num_terms_;
  Sampler sampler_;
  TrainState state_;
  Tensors parameters_;
  std::vector<VirtualShard> shards_;  // Of the present step.
};

std::string Training::where() const {
  return fmt::format("step {} of {} (epoch {})", state_.step + 1, num_steps(),
                     sampler_.epoch(state_.step + 1));
}

std::string Training::failure_of_step(const std::function<void()>& compute) const {
  const std::string failure = failure_of(compute);
  return failure.empty() ? failure : where() + ": " + failure;
}

void Training::fail(const std::string& what, const VirtualShard& images) const {
  std::vector<std::string> names;
  for (const std::int64_t image : images) names.push_back(source_.describe(image));
  throw JobError(
      "{}, {}: {}, expected finite numbers; look at the features and masks of these images, or "
      "lower the learning rate",
      where(), fmt::join(names, ", "), what);
}

VirtualShard Training::all_images() const {
  VirtualShard images;
  for (const auto& shard : shards_) images.insert(images.end(), shard.begin(), shard.end());
  return images;
}

void Training::check_sums(const ShardSums& sums) const {
  for (std::size_t i = 0; i < sums.by_shard.size(); ++i) {
    if (std::isfinite(sums.by_shard[i])) continue;
    fail(fmt::format("the sum '{}' is {}", method_.term_names()[i % num_terms_], sums.by_shard[i]),
         shards_[i / num_terms_]);
  }
}

Tensors Training::terms_of_local_shards(const SharedTerms& shared, ShardRange local) const {
  Tensors terms(static_cast<std::size_t>(local.end - local.begin));
  for_each_shard(local, [&](std::int64_t shard) {
    at::Tensor& sums = terms[shard - local.begin];
    sums = method_.terms(shared.copies(), source_.load(shards_[shard]));
    if (sums.scalar_type() != at::kDouble || std::cmp_not_equal(sums.numel(), num_terms_)) {
      throw JobError("the method's terms are not float64 [{}]", num_terms_);
    }
  });
  return terms;
}

at::Tensor Training::gradient_of_shards(const Tensors& terms,
                                        const SharedTerms& shared,
                                        const at::Tensor& seed,
                                        ShardRange local) {
  const auto gradients_of = [&](std::int64_t shard) {
    const at::Tensor& sums = terms[shard - local.begin];
    return gradients({sums}, shared.leaves(), {seed.to(sums.device())});
  };
  GradientSum::Result result;
  if (options_.one_batch_a_rank) {
    at::Tensor own;
    const bool any = local.begin < local.end;
    const std::string failure = failure_of_step([&] {
      own = flattened(any ? gradients_of(local.begin) : Tensors(shared.leaves().size()),
                      shared.leaves());
    });
    result = all_reduce_gradient(comm_, own, any ? local.begin : -1, failure);
  } else {
    GradientSum sum(comm_, numel(shared.leaves()));
    const std::string failure = failure_of_step([&] {
      const std::int64_t at_once = at::get_num_threads();
      std::vector<Tensors> found(static_cast<std::size_t>(at_once));
      for (std::int64_t first = local.begin; first < local.end; first += at_once) {
        const ShardRange group{first, std::min(first + at_once, local.end)};
        for_each_shard(group,
                       [&](std::int64_t shard) { found[shard - first] = gradients_of(shard); });
        for (std::int64_t shard = group.begin; shard < group.end; ++shard) {
          sum.add(shard, found[shard - first], shared.leaves());
        }
      }
    });
    result = sum.reduce(failure);
  }
  if (result.bad_shard) fail("a gradient is NaN or infinite", shards_[*result.bad_shard]);
  return result.sum;
}

std::optional<StepReport> Training::take_step(bool wishes_to_stop) {
  shards_ = sampler_.shards(state_.step + 1);
  if (options_.one_batch_a_rank) shards_ = joined_by_rank(shards_, comm_.world_size());
  const ShardRange local =
      shards_of_rank(static_cast<std::int64_t>(shards_.size()), comm_.rank(), comm_.world_size());
  // What no image changes, once; then differentiable sums over the images of each shard.
  std::optional<SharedTerms> shared;
  Tensors terms;
  const std::string failure = failure_of_step([&] {
    shared.emplace(method_, parameters_);
    terms = terms_of_local_shards(*shared, local);
  });
  const ShardSums sums = gather_shard_sums(comm_, terms, wishes_to_stop, failure);
  if (sums.stop) return std::nullopt;
  check_sums(sums);

  // The loss is a function of the sums over all shards; its derivatives seed each shard's backward.
  const std::vector<double> totals = add_in_shard_order(sums, num_terms_);
  const at::Tensor total_terms = at::tensor(totals, at::kDouble).requires_grad_(true);
  const at::Tensor loss = method_.loss(total_terms, shared->copies());
  const auto loss_value = loss.item<double>();
  if (!std::isfinite(loss_value)) fail(fmt::format("the loss is {}", loss_value), all_images());
  Tensors inputs = shared->leaves();
  inputs.push_back(total_terms);
  Tensors loss_gradients = gradients({loss}, inputs, {at::ones_like(loss)});

  // Gradients in shard order, then those of the image-free terms, the shared part once.
  const at::Tensor flat = gradient_of_shards(terms, *shared, loss_gradients.back(), local);
  Tensors leaf_gradients = split_like(flat, shared->leaves());
  for (std::size_t i = 0; i < leaf_gradients.size(); ++i) {
    if (loss_gradients[i].defined()) leaf_gradients[i] = leaf_gradients[i] + loss_gradients[i];
  }
  update(shared->to_parameters(leaf_gradients));
  return StepReport{.epoch = sampler_.epoch(state_.step),
                    .step = state_.step,
                    .steps = num_steps(),
                    .loss = loss_value,
                    .totals = totals};
}

void Training::update(const Tensors& parameter_gradients) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!all_finite(parameter_gradients[i])) {
      fail(fmt::format("the gradient of '{}' is NaN or infinite", method_.parameters()[i].first),
           all_images());
    }
  }
  ++state_.step;
  const AdamSettings adam{
      .learning_rate = options_.learning_rate, .beta1 = options_.beta1, .beta2 = options_.beta2};
  const std::size_t count = parameters_.size();
  const auto values = [](const at::Tensor& tensor) {
    return std::span(tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel()));
  };
  for (std::size_t i = 0; i < count; ++i) {
    const at::Tensor& parameter = state_.tensors[i].second;
    const at::Tensor& m = state_.tensors[count + i].second;
    const at::Tensor& v = state_.tensors[2 * count + i].second;
    const at::Tensor gradient = parameter_gradients[i].contiguous();
    if (parameter.is_cpu()) {
      at::parallel_for(0, parameter.numel(), kAdamGrain, [&](std::int64_t begin, std::int64_t end) {
        const auto part = [&](const at::Tensor& tensor) {
          return values(tensor).subspan(begin, end - begin);
        };
        adam_step(adam, state_.step, part(parameter), part(gradient), part(m), part(v));
      });
    } else {
      adam_step_on_device(adam, state_.step, parameter, gradient, m, v);
    }
  }
}

void Training::save() {
  if (options_.state_path.empty()) return;
  agree(comm_, [&] {
    if (comm_.rank() == 0) save_state(options_.state_path, state_, options_.identity);
  });
}

TrainResult Training::run(const std::function<void(const StepReport&)>& on_step,
                          const std::function<bool()>& should_stop) {
  TrainResult result;
  result.resumed = resume_state(options_.state_path, state_, options_.identity, comm_);
  result.mixed_numerics = state_.mixed_numerics;
  const std::int64_t per_epoch = sampler_.steps_per_epoch();
  std::int64_t saved_step = result.resumed ? state_.step : -1;
  while (state_.step < num_steps()) {
    const std::optional<StepReport> report = take_step(should_stop && should_stop());
    if (!report) {
      result.interrupted = true;
      break;
    }
    state_.epoch_loss_sums.resize(report->epoch, 0.0);
    state_.epoch_loss_sums.back() += report->loss;
    if (on_step) on_step(*report);
    const bool due =
        options_.steps_per_checkpoint > 0 && state_.step % options_.steps_per_checkpoint == 0;
    if (due || state_.step % per_epoch == 0) {
      save();
      saved_step = state_.step;
    }
  }
  if (saved_step != state_.step) save();
  result.steps = state_.step;
  for (std::size_t epoch = 0; epoch < state_.epoch_loss_sums.size(); ++epoch) {
    const auto done = state_.step - static_cast<std::int64_t>(epoch) * per_epoch;
    result.epoch_losses.push_back(state_.epoch_loss_sums[epoch] /
                                  static_cast<double>(std::min(done, per_epoch)));
  }
  return result;
}

}  // namespace

TrainResult train(Method& method,
                  const BatchSource& source,
                  const TrainOptions& options,
                  Communicator& comm,
                  const std::function<void(const StepReport&)>& on_step,
                  const std::function<bool()>& should_stop) {
  if (source.size() == 0) throw DataError("the training set has no images, expected at least one");
  return Training(method, source, options, comm).run(on_step, should_stop);
}

}  // namespace assay
