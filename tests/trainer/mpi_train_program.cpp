// One training on the ranks that mpirun gives, for train_mpi_test.cpp. Rank 0 prints a line a step:
// its number and the digest of all parameters, equal on all ranks.

#include "core/comm/mpi_communicator.h"
#include "core/error.h"
#include "tests/trainer/analytic_training.h"
#include "tests/trainer/clip_training.h"
#include "trainer/train.h"

#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>

namespace assay {
namespace {

struct Options {
  TrainOptions train;
  std::string method = "analytic";
  bool alone = false;   // Without MPI.
  int dying_rank = -1;  // Killed inside step `dying_step`.
  std::int64_t dying_step = -1;
  std::int64_t cut_save = -1;  // Killed inside the save after this step, with half of it written.
  std::int64_t nan_image = -1;
};

// A source that kills its process inside a step.
class DyingSource final : public BatchSource {
 public:
  DyingSource(const BatchSource& source, std::int64_t step) : source_(source), dying_step_(step) {}
  [[nodiscard]] std::int64_t size() const override { return source_.size(); }
  [[nodiscard]] Batch load(std::span<const std::int64_t> indices) const override {
    if (present_step == dying_step_) std::raise(SIGKILL);
    return source_.load(indices);
  }
  [[nodiscard]] std::string describe(std::int64_t index) const override {
    return source_.describe(index);
  }

  std::int64_t present_step = 1;

 private:
  const BatchSource& source_;
  std::int64_t dying_step_;
};

// The kernel ends a process with SIGXFSZ inside the write that passes this limit.
void limit_file_size(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw JobError("setrlimit failed");
}

void expect_equal_on_all_ranks(Communicator& comm, const std::string& digest) {
  const auto bytes = std::as_bytes(std::span(digest));
  const std::vector<std::byte> own(bytes.begin(), bytes.end());
  for (const auto& other : comm.all_gather(bytes)) {
    if (other != own) throw JobError("ranks hold different parameters");
  }
}

constexpr std::int64_t kImages = 29;

void train_here(Communicator& comm,
                const Options& options,
                Method& method,
                const BatchSource& images) {
  DyingSource source(images, comm.rank() == options.dying_rank ? options.dying_step : -1);
  const auto on_step = [&](const StepReport& report) {
    source.present_step = report.step + 1;
    const std::string digest = digest_of_parameters(method);
    expect_equal_on_all_ranks(comm, digest);
    if (comm.rank() == 0) {
      std::printf("step %ld %s\n", static_cast<long>(report.step), digest.c_str());
      std::fflush(stdout);
    }
    if (report.step == options.cut_save) limit_file_size(1000);
  };
  try {
    (void)train(method, source, options.train, comm, on_step);
  } catch (const JobError& error) {
    std::printf("rank %d failed: %s\n", comm.rank(), error.what());
  }
}

void train_here(Communicator& comm, const Options& options) {
  at::set_num_threads(1);
  if (options.method == "analytic") {
    AnalyticSource images(kImages);
    images.nan_image = options.nan_image;
    AnalyticMethod method(options.train.seed);
    train_here(comm, options, method, images);
    if (images.nan_image < 0) return;
    AnalyticMethod next(options.train.seed);  // The same ranks go on with another job.
    train_here(comm, options, next, AnalyticSource(kImages));
  } else {
    ClipTraining training(options.method, kImages, options.train.seed);
    train_here(comm, options, training.method(), training);
  }
}

// Options are pairs of a name and a number or path: what train_mpi_test.cpp gives.
Options parse(std::span<char*> arguments) {
  Options options;
  options.train.epochs = 8;
  options.train.batch_size = 14;
  options.train.learning_rate = 0.01;
  options.train.seed = 5;
  options.train.identity = "mpi-train-program";
  for (std::size_t i = 1; i + 1 < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    const std::string value = arguments[i + 1];
    if (name == "--method")
      options.method = value;
    else if (name == "--state")
      options.train.state_path = value;
    else if (name == "--steps-per-checkpoint")
      options.train.steps_per_checkpoint = std::stol(value);
    else if (name == "--alone")
      options.alone = value == "yes";
    else if (name == "--dying-rank")
      options.dying_rank = std::stoi(value);
    else if (name == "--dying-step")
      options.dying_step = std::stol(value);
    else if (name == "--cut-save")
      options.cut_save = std::stol(value);
    else if (name == "--nan-image")
      options.nan_image = std::stol(value);
    else
      throw ConfigError("'{}' is not an option", name);
  }
  return options;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  const assay::Options options = assay::parse({argv, static_cast<std::size_t>(argc)});
  if (options.alone) {
    assay::SingleCommunicator comm;
    assay::train_here(comm, options);
    return 0;
  }
  const assay::MpiSession mpi;
  const auto comm = mpi.world();
  assay::train_here(*comm, options);
}
