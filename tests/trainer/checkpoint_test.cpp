#include "trainer/checkpoint.h"

#include "core/error.h"
#include "core/file.h"
#include "registry/safetensors.h"
#include "tests/support/temporary_folder.h"
#include "tests/trainer/analytic_training.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <sstream>

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// A method and a state of it with other values than those at the start.
struct Trained {
  explicit Trained(std::uint64_t seed) : method(seed), state(initial_state(method.parameters())) {
    state.step = 7;
    state.epoch_loss_sums = {0.1 + 0.2, 1e-300};
    for (auto& [name, value] : state.tensors) value.add_(0.125);
  }
  AnalyticMethod method;
  TrainState state;
};

class Checkpoint : public ::testing::Test {
 protected:
  Checkpoint() { save_state(path_, trained_.state, "job-1"); }

  // What load_state says of the file, having left the state as it was.
  void expect_refusal(const std::string& message) {
    AnalyticMethod method(1);
    TrainState state = initial_state(method.parameters());
    const std::string before = digest_of_parameters(method);
    EXPECT_THAT([&] { load_state(path_, state, "job-1"); },
                ThrowsMessage<DataError>(HasSubstr(message)));
    EXPECT_EQ(digest_of_parameters(method), before);
    EXPECT_EQ(state.step, 0);
  }
  void rewrite(const std::function<void(SafeTensors&)>& change) {
    SafeTensors file = read_safetensors(path_);
    change(file);
    write_safetensors(path_, file);
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "state.safetensors";
  Trained trained_{1};
};

TEST_F(Checkpoint, GivesBackEveryBitOfTheState) {
  AnalyticMethod method(1);
  TrainState state = initial_state(method.parameters());
  load_state(path_, state, "job-1");
  EXPECT_EQ(state.step, 7);
  EXPECT_EQ(state.epoch_loss_sums, trained_.state.epoch_loss_sums);
  EXPECT_EQ(digest_of_parameters(method), digest_of_parameters(trained_.method));
  for (std::size_t i = 0; i < state.tensors.size(); ++i) {
    EXPECT_TRUE(state.tensors[i].second.equal(trained_.state.tensors[i].second));
  }
}

TEST_F(Checkpoint, CutAnywhereIsRefused) {
  const std::string whole = read_file(path_);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{5}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write_file_atomically(path_, whole.substr(0, size));
    expect_refusal(path_.string());
  }
}

TEST_F(Checkpoint, WithAFlippedBitIsRefused) {
  std::string bytes = read_file(path_);
  bytes[bytes.size() - 3] ^= 1;
  write_file_atomically(path_, bytes);
  expect_refusal("the checksum of its values does not match");
}

TEST_F(Checkpoint, OfAnotherJobIsRefused) {
  save_state(path_, trained_.state, "job-2");
  expect_refusal("the state of job 'job-2', expected 'job-1'");
}

TEST_F(Checkpoint, OfAnotherFormatVersionIsRefused) {
  rewrite([](SafeTensors& file) { file.metadata["format_version"] = "0"; });
  expect_refusal("format version 0, this build reads 1");
}

TEST_F(Checkpoint, ThatIsAnotherSafetensorsFileIsRefused) {
  write_safetensors(path_, {.tensors = {{"direct", at::zeros({5, 7})}}, .metadata = {}});
  expect_refusal("not a state of a training");
}

TEST_F(Checkpoint, OfAnotherMethodIsRefused) {
  TrainState state = trained_.state;
  state.tensors.pop_back();
  save_state(path_, state, "job-1");
  expect_refusal("tensor 'adam.v.unused' is missing");
  state.tensors.emplace_back("adam.v.unused", at::zeros({3}));
  save_state(path_, state, "job-1");
  expect_refusal("tensor 'adam.v.unused' has shape 3, expected 2");
  state.tensors.back().second = at::zeros({2});
  state.tensors.emplace_back("more", at::zeros({2}));
  save_state(path_, state, "job-1");
  expect_refusal("13 tensors, expected 12");
}

TEST_F(Checkpoint, OfOtherNumericsIsUsedAndMarked) {
  trained_.state.numerics = "AVX1024, 3 threads";
  save_state(path_, trained_.state, "job-1");
  AnalyticMethod method(1);
  TrainState state = initial_state(method.parameters());
  load_state(path_, state, "job-1");
  EXPECT_EQ(state.step, 7);
  EXPECT_TRUE(state.mixed_numerics);
}

TEST_F(Checkpoint, ThatDoesNotDoIsNamedAndTrainingStartsFromTheBeginning) {
  write_file_atomically(path_, "garbage");
  write_file_atomically(folder_ / "state.safetensors.4711.partial", "half");
  std::ostringstream log;
  const auto previous = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  AnalyticMethod method(1);
  TrainState state = initial_state(method.parameters());
  SingleCommunicator comm;
  const bool resumed = resume_state(path_, state, "job-1", comm);
  spdlog::set_default_logger(previous);
  EXPECT_FALSE(resumed);
  EXPECT_EQ(state.step, 0);
  EXPECT_THAT(log.str(), ::testing::AllOf(HasSubstr(path_.string()),
                                          HasSubstr("training starts from the beginning")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "state.safetensors.4711.partial"));
}

}  // namespace
}  // namespace assay
