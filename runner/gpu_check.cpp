#include "runner/gpu_check.h"

#include "core/comm/agree.h"
#include "core/error.h"
#include "registry/method.h"
#include "registry/weights_import.h"
#include "runner/installation.h"
#include "runner/precision.h"
#include "trainer/train.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <chrono>
#include <cmath>

namespace assay {
namespace {

constexpr std::int64_t kImages = 8;  // The papers' batch.
constexpr std::int64_t kSteps = 10;

/// Largest accepted difference: float32 added in another order, or factors rounded to 8 to 11 bits.
double limit_of(const std::string& precision) { return precision == "fp32" ? 1e-3 : 5e-2; }

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double relative_difference(const at::Tensor& actual, const at::Tensor& expected) {
  return ((actual - expected).norm() / expected.norm()).item<double>();
}

/// Features, labels and masks that a seed gives, on one device.
class RandomImages final : public BatchSource {
 public:
  RandomImages(const Clip& clip, const FeatureSpec& spec) {
    at::manual_seed(1);
    const std::int64_t grid = spec.image_size / clip.sizes().patch, joint = clip.sizes().joint;
    const at::Tensor patches =
        at::randn({kImages, std::ssize(spec.streams), std::ssize(spec.layers), grid * grid, joint});
    Batch batch;
    batch.patch_norms = patches.norm(2, -1);
    batch.patch_features = patches / batch.patch_norms.unsqueeze(-1);
    batch.global = at::randn({kImages, joint});
    batch.labels = at::arange(kImages).remainder(2);
    batch.masks = at::rand({kImages, spec.image_size, spec.image_size}).lt(0.1).to(at::kByte) *
                  batch.labels.to(at::kByte).view({-1, 1, 1});
    batch.has_pixel_term = at::ones({kImages}, at::kBool);
    images_ = batch.to(clip.device());
  }

  [[nodiscard]] std::int64_t size() const override { return kImages; }
  [[nodiscard]] Batch load(std::span<const std::int64_t> indices) const override {
    const at::Tensor chosen = at::tensor(at::IntArrayRef(indices.data(), indices.size()), at::kLong)
                                  .to(images_.global.device());
    Batch batch = images_;
    for (at::Tensor* tensor : {&batch.patch_features, &batch.patch_norms, &batch.global,
                               &batch.labels, &batch.masks, &batch.has_pixel_term}) {
      *tensor = tensor->index_select(0, chosen);
    }
    return batch;
  }

 private:
  Batch images_;
};

struct Steps {
  std::vector<double> losses;
  double seconds_a_step = 0;  // Without the first, which sets things up.
};

class DeviceCheck {
 public:
  DeviceCheck(const ComputeDevice& device,
              Communicator& host,
              Communicator& jobs,
              const std::function<void(const GpuFinding&)>& report)
      : device_(device), host_(host), jobs_(jobs), report_(report) {}

  void run() {
    sums_over_ranks();
    agree(host_, [&] {
      const Installation installed = installation();
      const BackboneDescription& tiny = find_backbone("assay-tiny");
      clip_.emplace(load_backbone(tiny, installed.embedded_weights / tiny.weights_file));
      tokenizer_.emplace(installed.merges);
      resolved_ = resolve_method("faprompt:paper", {}, tiny, tiny.default_image_size);
    });
    const Steps expected = train_on(*clip_, host_, /*one_batch_a_rank=*/false);
    for (const std::string precision : {"fp32", "tf32", "bf16"}) {
      const std::string reason = why_not(precision, device_.gpu ? &*device_.gpu : nullptr);
      if (!reason.empty()) {
        report_({precision, true, reason});
        continue;
      }
      use_precision(device_, precision);
      Clip clip = *clip_;
      agree(host_, [&] { clip.move_to(device_.device, type_of_products(precision)); });
      encoded_images(clip, precision);
      training_steps(clip, precision, expected);
    }
  }

 private:
  /// Whole numbers, whose sums are exact in every type and order.
  void sums_over_ranks() {
    std::string wrong;
    for (const auto type : {at::kFloat, at::kDouble, at::kLong, at::kInt, at::kByte}) {
      for (const std::int64_t size : {1, 1000, 4'100'000}) {
        for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax}) {
          at::Tensor expected =
              at::arange(size, at::kLong).mul(7).remainder(31).add(host_.rank()).to(type);
          at::Tensor actual = expected.to(device_.device);
          host_.all_reduce(expected, op);
          jobs_.all_reduce(actual, op);
          if (!actual.cpu().equal(expected)) {
            wrong = fmt::format("{} x {} differs from the sum over MPI", size, c10::toString(type));
          }
        }
      }
    }
    at::Tensor gradient = at::zeros({4'100'000}, at::TensorOptions(device_.device));
    jobs_.all_reduce(gradient, ReduceOp::kSum);
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < kSteps; ++i) jobs_.all_reduce(gradient, ReduceOp::kSum);
    const double milliseconds = 1e3 * seconds_since(start) / kSteps;
    const bool good = !any_rank(host_, !wrong.empty());
    report_({fmt::format("sums over {} ranks", jobs_.world_size()), good,
             good ? fmt::format("equal to MPI's; 4.1 M floats in {:.3f} ms", milliseconds)
                  : (wrong.empty() ? "wrong on another rank" : wrong)});
  }

  void encoded_images(const Clip& clip, const std::string& precision) {
    const c10::InferenceMode guard;
    at::manual_seed(2);
    const std::int64_t size = resolved_.features.image_size;
    const at::Tensor images = at::randn({kImages, 3, size, size});
    const at::Tensor on_device = images.to(device_.device);
    const auto encode = [&](const Clip& with, const at::Tensor& what) {
      return with.encode_images(what, resolved_.features).patch.begin()->second.cpu();
    };
    const at::Tensor expected = encode(*clip_, images);
    const double difference = relative_difference(encode(clip, on_device), expected);
    const auto start = std::chrono::steady_clock::now();
    (void)encode(clip, on_device);
    tell("encoded images", precision, difference,
         fmt::format("{:.0f} images a second", kImages / seconds_since(start)));
  }

  void training_steps(const Clip& clip, const std::string& precision, const Steps& expected) {
    const Steps actual = train_on(clip, jobs_, /*one_batch_a_rank=*/true);
    double difference = 0;
    for (std::size_t step = 0; step < 3; ++step) {  // Later ones drift apart by themselves.
      difference =
          std::max(difference, std::abs(actual.losses.at(step) / expected.losses.at(step) - 1));
    }
    tell("training", precision, difference,
         fmt::format("{:.2f} ms a step, CPU {:.2f}", 1e3 * actual.seconds_a_step,
                     1e3 * expected.seconds_a_step));
  }

  Steps train_on(const Clip& clip, Communicator& comm, bool one_batch_a_rank) {
    std::unique_ptr<Method> method;
    std::optional<RandomImages> images;
    agree(host_, [&] {
      method = make_method({clip, *tokenizer_, resolved_}, /*seed=*/1);
      images.emplace(clip, resolved_.features);
    });
    TrainOptions options;
    options.epochs = kSteps;
    options.batch_size = kImages;
    options.one_batch_a_rank = one_batch_a_rank;
    Steps steps;
    auto start = std::chrono::steady_clock::now();
    (void)train(*method, *images, options, comm, [&](const StepReport& report) {
      steps.losses.push_back(report.loss);
      if (report.step == 1) start = std::chrono::steady_clock::now();
    });
    steps.seconds_a_step = seconds_since(start) / (kSteps - 1);
    return steps;
  }

  void tell(const std::string& what,
            const std::string& precision,
            double difference,
            const std::string& speed) {
    const double limit = limit_of(precision);
    const bool good = !any_rank(host_, !(difference <= limit));
    report_({what + ", " + precision, good,
             fmt::format("{:.1e} off the CPU's (at most {:.0e}); {}", difference, limit, speed)});
  }

  const ComputeDevice& device_;
  Communicator& host_;
  Communicator& jobs_;
  const std::function<void(const GpuFinding&)>& report_;
  std::optional<Clip> clip_;  // On the CPU.
  std::optional<Tokenizer> tokenizer_;
  ResolvedMethod resolved_;
};

}  // namespace

void check_device(const ComputeDevice& device,
                  Communicator& host,
                  Communicator& jobs,
                  const std::function<void(const GpuFinding&)>& report) {
  DeviceCheck(device, host, jobs, report).run();
}

}  // namespace assay
