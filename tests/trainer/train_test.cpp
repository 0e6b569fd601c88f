#include "trainer/train.h"

#include "core/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_communicator.h"
#include "tests/trainer/analytic_training.h"
#include "trainer/checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

// 29 images in batches of 14: 7 shards of two, which 2, 3 and 4 ranks do not divide, and a last
// batch of one image. Eight epochs are 24 steps.
TrainOptions small_options() {
  TrainOptions options;
  options.epochs = 8;
  options.batch_size = 14;
  options.learning_rate = 0.01;
  options.seed = 5;
  return options;
}
const TrainOptions kOptions = small_options();
constexpr std::int64_t kImages = 29;
constexpr std::int64_t kSteps = 24;

struct Trained {
  std::vector<std::string> digests;  // After each step, on the last rank.
  std::vector<StepReport> reports;
  TrainResult result;
};

// Trains on `ranks` threads; every rank must hold the same parameters after every step.
Trained train_on_threads(int ranks,
                         const TrainOptions& options,
                         std::optional<std::int64_t> stop_before = {}) {
  Trained trained;
  at::set_num_threads(1);
  std::mutex mutex;
  std::map<std::int64_t, std::string> by_step;
  run_on_threads(ranks, [&](Communicator& comm) {
    AnalyticMethod method(options.seed);
    const bool last = comm.rank() == comm.world_size() - 1;
    std::int64_t begun = 0;
    const auto on_step = [&](const StepReport& report) {
      begun = report.step;
      const std::string digest = digest_of_parameters(method);
      const std::lock_guard lock(mutex);
      EXPECT_EQ(by_step.emplace(report.step, digest).first->second, digest);
      if (last) trained.reports.push_back(report);
    };
    // One rank alone is told.
    const auto should_stop = [&] { return last && stop_before && begun + 1 >= *stop_before; };
    const TrainResult result =
        train(method, AnalyticSource(kImages), options, comm, on_step, should_stop);
    if (last) trained.result = result;
  });
  for (const auto& [step, digest] : by_step) trained.digests.push_back(digest);
  return trained;
}

TEST(Train, GivesTheSameBitsAfterEveryStepOnAnyNumberOfRanks) {
  const Trained one = train_on_threads(1, kOptions);
  ASSERT_EQ(one.digests.size(), kSteps);
  EXPECT_NE(one.digests.front(), one.digests.back());
  for (const int ranks : {2, 3, 4, 9}) {  // 9: more ranks than shards.
    const Trained many = train_on_threads(ranks, kOptions);
    EXPECT_EQ(many.digests, one.digests) << ranks << " ranks";
    EXPECT_EQ(many.result.epoch_losses, one.result.epoch_losses);
  }
}

/// Remembers which threads asked.
class WatchedSource final : public BatchSource {
 public:
  [[nodiscard]] std::int64_t size() const override { return source_.size(); }
  [[nodiscard]] Batch load(std::span<const std::int64_t> indices) const override {
    const std::lock_guard lock(mutex_);
    threads_.insert(std::this_thread::get_id());
    return source_.load(indices);
  }
  [[nodiscard]] std::size_t num_threads() const { return threads_.size(); }

 private:
  AnalyticSource source_{kImages};
  mutable std::mutex mutex_;
  mutable std::set<std::thread::id> threads_;
};

TEST(Train, ThreadsOfARankShareItsShardsAndGiveTheSameBits) {
  const auto train_with = [](int threads, std::vector<std::string>& digests) {
    at::set_num_threads(threads);
    AnalyticMethod method(kOptions.seed);
    const WatchedSource source;
    SingleCommunicator comm;
    train(method, source, kOptions, comm,
          [&](const StepReport&) { digests.push_back(digest_of_parameters(method)); });
    at::set_num_threads(1);
    return source.num_threads();
  };
  std::vector<std::string> alone, together;
  EXPECT_EQ(train_with(1, alone), 1U);
  EXPECT_EQ(train_with(3, together), 3U);
  EXPECT_EQ(alone.size(), kSteps);
  EXPECT_EQ(together, alone);
}

TEST(Train, DoesWhatAutogradAndAdamDoOnTheWholeBatch) {
  // The oracle: one graph over the batch, and Adam in PyTorch's own operations.
  AnalyticMethod expected(5);
  const AnalyticSource source(8);
  std::vector<std::int64_t> all = {0, 1, 2, 3, 4, 5, 6, 7};
  std::vector<at::Tensor> m;
  std::vector<at::Tensor> v;
  std::vector<at::Tensor> leaves;
  for (const auto& [name, value] : expected.parameters()) {
    leaves.push_back(value);
    m.push_back(at::zeros_like(value));
    v.push_back(at::zeros_like(value));
  }
  std::vector<double> losses;
  for (int t = 1; t <= 20; ++t) {
    const auto shared = expected.shared_terms();
    const at::Tensor loss = expected.loss(expected.terms(shared, source.load(all)), shared);
    losses.push_back(loss.item<double>());
    const auto grads = torch::autograd::grad({loss}, leaves, {}, std::nullopt, false, true);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (!grads[i].defined()) continue;
      m[i].lerp_(grads[i], 1 - 0.5);
      v[i].mul_(0.999).addcmul_(grads[i], grads[i], 1 - 0.999);
      const at::Tensor denominator = (v[i].sqrt() / std::sqrt(1 - std::pow(0.999, t))).add_(1e-8);
      leaves[i].detach().addcdiv_(m[i], denominator, -0.01 / (1 - std::pow(0.5, t)));
    }
  }

  AnalyticMethod method(5);
  SingleCommunicator comm;
  TrainOptions options = kOptions;
  options.epochs = 20;
  options.batch_size = 8;
  const TrainResult result = train(method, source, options, comm);

  ASSERT_EQ(result.epoch_losses.size(), losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(result.epoch_losses[i], losses[i], 1e-5 * losses[i]);
  }
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    EXPECT_TRUE(at::allclose(method.parameters()[i].second, leaves[i], 1e-4, 1e-5))
        << method.parameters()[i].first;
  }
}

TEST(Train, LeavesAParameterWithoutGradientAlone) {
  AnalyticMethod method(5);
  SingleCommunicator comm;
  const at::Tensor before = method.parameters()[3].second.detach().clone();
  (void)train(method, AnalyticSource(kImages), kOptions, comm);
  EXPECT_TRUE(method.parameters()[3].second.equal(before));
}

TEST(Train, ReportsEveryStepAndTheMeanLossOfEachEpoch) {
  const Trained one = train_on_threads(2, kOptions);
  ASSERT_EQ(one.reports.size(), kSteps);
  EXPECT_EQ(one.reports[3].epoch, 2);
  EXPECT_EQ(one.reports[3].step, 4);
  EXPECT_EQ(one.reports[3].steps, kSteps);
  EXPECT_EQ(one.reports[3].totals.back(), 14);  // Images.
  EXPECT_EQ(one.reports[2].totals.back(), 1);
  const auto& r = one.reports;
  EXPECT_DOUBLE_EQ(one.result.epoch_losses.at(0), (r[0].loss + r[1].loss + r[2].loss) / 3);
  EXPECT_EQ(one.result.epoch_losses.size(), 8U);
}

TEST(Train, StoppedOnOneRankGoesOnWithTheSameBitsOnAnotherNumberOfRanks) {
  const Trained whole = train_on_threads(1, kOptions);
  for (const std::int64_t stop : {1, 5, 9, 24}) {
    const TemporaryFolder folder;
    TrainOptions options = kOptions;
    options.state_path = folder / "state.safetensors";
    const Trained first = train_on_threads(2, options, stop);
    EXPECT_TRUE(first.result.interrupted);
    EXPECT_EQ(first.result.steps, stop - 1);
    const Trained second = train_on_threads(3, options);
    EXPECT_TRUE(second.result.resumed);
    EXPECT_FALSE(second.result.mixed_numerics);
    std::vector<std::string> digests = first.digests;
    digests.insert(digests.end(), second.digests.begin(), second.digests.end());
    EXPECT_EQ(digests, whole.digests) << "stopped before step " << stop;
    EXPECT_EQ(second.result.epoch_losses, whole.result.epoch_losses);
  }
}

TEST(Train, OfAFinishedStateTakesNoStepAndHasItsParameters) {
  const TemporaryFolder folder;
  TrainOptions options = kOptions;
  options.state_path = folder / "state.safetensors";
  const Trained first = train_on_threads(2, options);
  AnalyticMethod method(options.seed);
  SingleCommunicator comm;
  const TrainResult again = train(method, AnalyticSource(kImages), options, comm);
  EXPECT_TRUE(again.resumed);
  EXPECT_EQ(again.epoch_losses, first.result.epoch_losses);
  EXPECT_EQ(digest_of_parameters(method), first.digests.back());
}

TEST(Train, GoesOnFromTheKeptStateOfOneWithFewerEpochs) {
  const Trained whole = train_on_threads(1, kOptions);
  const TemporaryFolder folder;
  TrainOptions shorter = kOptions;
  shorter.epochs = 3;
  shorter.identity = "shorter";
  shorter.state_path = folder / "shorter.safetensors";
  const Trained first = train_on_threads(2, shorter);
  TrainOptions longer = kOptions;
  longer.identity = "longer";
  longer.state_path = folder / "longer.safetensors";
  EXPECT_FALSE(continue_from_state(shorter.state_path, "another", longer.state_path, "longer"));
  EXPECT_TRUE(continue_from_state(shorter.state_path, "shorter", longer.state_path, "longer"));
  EXPECT_FALSE(continue_from_state(shorter.state_path, "shorter", longer.state_path, "longer"))
      << "a state of its own stays";
  const Trained second = train_on_threads(3, longer);
  EXPECT_EQ(second.digests.size(), static_cast<std::size_t>(kSteps) - first.digests.size());
  EXPECT_EQ(second.digests.back(), whole.digests.back());
  EXPECT_EQ(second.result.epoch_losses, whole.result.epoch_losses);
}

TEST(Train, OfNoEpochsKeepsTheInitialParameters) {
  const TemporaryFolder folder;
  TrainOptions options = kOptions;
  options.epochs = 0;
  options.state_path = folder / "state.safetensors";
  run_on_threads(2, [&](Communicator& comm) {
    AnalyticMethod method(5);
    const std::string before = digest_of_parameters(method);
    EXPECT_EQ(train(method, AnalyticSource(kImages), options, comm).steps, 0);
    EXPECT_EQ(digest_of_parameters(method), before);
  });
  EXPECT_TRUE(std::filesystem::exists(options.state_path));
}

TEST(Train, GivesOtherParametersForAnotherSeedAndSeedZeroIsASeed) {
  TrainOptions options = kOptions;
  options.seed = 0;
  const Trained zero = train_on_threads(1, options);
  EXPECT_EQ(train_on_threads(2, options).digests, zero.digests);
  options.seed = 1;
  EXPECT_NE(train_on_threads(1, options).digests, zero.digests);
}

// Trains on `ranks` threads where `source` makes the job fail, and another job in the same world
// after it; the messages of all ranks.
std::vector<std::string> failures(int ranks,
                                  const BatchSource& source,
                                  const TrainOptions& options) {
  std::vector<std::string> messages(ranks);
  const std::vector<std::string> healthy = train_on_threads(1, kOptions).digests;
  run_on_threads(ranks, [&](Communicator& comm) {
    AnalyticMethod method(5);
    try {
      (void)train(method, source, options, comm);
    } catch (const JobError& error) {
      messages[comm.rank()] = error.what();
    }
    AnalyticMethod next(5);
    (void)train(next, AnalyticSource(kImages), kOptions, comm);
    EXPECT_EQ(digest_of_parameters(next), healthy.back());
  });
  EXPECT_THAT(messages, Each(messages[0]));
  return messages;
}

TEST(Train, FailsOnEveryRankAlikeWhereAFeatureIsNan) {
  const TemporaryFolder folder;
  TrainOptions options = kOptions;
  options.state_path = folder / "state.safetensors";
  AnalyticSource source(kImages);
  source.nan_image = 17;
  for (const int ranks : {1, 2, 3, 4}) {
    EXPECT_THAT(failures(ranks, source, options),
                Each(AllOf(HasSubstr("of 24 (epoch 1), "), HasSubstr("drawing_017.png"),
                           HasSubstr("the sum 'squared_error' is nan"))));
  }
  EXPECT_FALSE(std::filesystem::exists(options.state_path));
}

TEST(Train, FailsOnEveryRankAlikeWhereAGradientAloneIsNan) {
  AnalyticSource source(kImages);
  source.zero_image = 17;
  for (const int ranks : {1, 2, 3, 4}) {
    EXPECT_THAT(failures(ranks, source, kOptions),
                Each(AllOf(HasSubstr("of 24 (epoch 1), "), HasSubstr("drawing_017.png"),
                           HasSubstr("a gradient is NaN or infinite"))));
  }
}

TEST(Train, FailsOnEveryRankAlikeWhereOneRankCannotReadAnImage) {
  AnalyticSource source(kImages);
  source.unreadable_image = 3;
  for (const int ranks : {1, 2, 3, 4}) {
    EXPECT_THAT(failures(ranks, source, kOptions),
                Each(HasSubstr("drawing_003.png: cannot be decoded")));
  }
}

TEST(Train, FailsOnEveryRankAlikeWhereTheStateCannotBeSaved) {
  const TemporaryFolder folder;
  TrainOptions options = kOptions;
  options.state_path = folder / "state.safetensors";
  std::filesystem::create_directories(options.state_path);
  EXPECT_THAT(failures(3, AnalyticSource(kImages), options),
              Each(HasSubstr("a folder is in the way")));
}

// What a GPU does, here on a CPU.
TEST(TrainWithOneBatchARank, GivesTheSameNumbersButForRounding) {
  const Trained sharded = train_on_threads(1, kOptions);
  TrainOptions options = kOptions;
  options.one_batch_a_rank = true;
  for (const int ranks : {1, 2, 3, 9}) {
    const Trained whole = train_on_threads(ranks, options);
    EXPECT_NE(whole.digests, sharded.digests);
    ASSERT_EQ(whole.reports.size(), kSteps);
    for (std::size_t step = 0; step < whole.reports.size(); ++step) {
      EXPECT_NEAR(whole.reports[step].loss, sharded.reports[step].loss,
                  1e-4 * sharded.reports[step].loss)
          << ranks << " ranks, step " << step;
    }
  }
}

TEST(TrainWithOneBatchARank, FailsOnEveryRankAlike) {
  TrainOptions options = kOptions;
  options.one_batch_a_rank = true;
  for (const int ranks : {1, 2, 4}) {
    AnalyticSource nan(kImages), zero(kImages), unreadable(kImages);
    nan.nan_image = 17;
    zero.zero_image = 17;
    unreadable.unreadable_image = 3;
    EXPECT_THAT(failures(ranks, nan, options),
                Each(AllOf(HasSubstr("drawing_017.png"), HasSubstr("'squared_error' is nan"))));
    EXPECT_THAT(
        failures(ranks, zero, options),
        Each(AllOf(HasSubstr("drawing_017.png"), HasSubstr("a gradient is NaN or infinite"))));
    EXPECT_THAT(failures(ranks, unreadable, options),
                Each(HasSubstr("drawing_003.png: cannot be decoded")));
  }
}

TEST(Train, RemembersWhatComputedAndMarksAStateOfAnother) {
  const TemporaryFolder folder;
  TrainOptions options = kOptions;
  options.state_path = folder / "state.safetensors";
  EXPECT_TRUE(train_on_threads(2, options, 5).result.interrupted);
  options.numerics = "NVIDIA H100, 1 rank";
  const Trained resumed = train_on_threads(1, options);
  EXPECT_TRUE(resumed.result.resumed);
  EXPECT_TRUE(resumed.result.mixed_numerics);
}

TEST(Train, RefusesAnEmptyTrainingSet) {
  AnalyticMethod method(5);
  SingleCommunicator comm;
  EXPECT_THAT([&] { (void)train(method, AnalyticSource(0), kOptions, comm); },
              ::testing::ThrowsMessage<DataError>(HasSubstr("no images")));
}

}  // namespace
}  // namespace assay
