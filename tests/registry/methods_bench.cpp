// Speed of training steps, of the local loss and of the image encoder (tools/bench.sh).
//
// `literal` is what the released code computes, as golden tests compare it: whole prompts of 77
// rows for each image, losses on stored maps, attention with its 1,370 x 1,370 maps in memory.

#include "registry/local_loss.h"
#include "tests/support/bench.h"
#include "tests/support/golden.h"
#include "tests/support/method_step.h"
#include "tests/support/real_method.h"
#include "tests/support/tiny_method.h"
#include "trainer/literal_training.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <numeric>

namespace assay {
namespace {

const std::vector<std::pair<const char*, double>> kSizes = {
    {"/quarter", 0.25}, {"/one", 1}, {"/four", 4}};

// Forward and backward of the text tower, without gradients of its weights: 2 x 2 operations for
// each of the 12 d^2 weights of a block and token (spec/performance.md 1.2).
double text_flops(const Clip& clip, double tokens) {
  const auto width = static_cast<double>(clip.sizes().text_width);
  return 48 * width * width * static_cast<double>(clip.sizes().text_layers) * tokens;
}

at::Tensor literal_sums(const at::Tensor& probability, const at::Tensor& masks, std::int64_t grid) {
  const std::int64_t batch = masks.size(0), size = masks.size(1);
  const at::Tensor abnormal =
      at::upsample_bilinear2d(probability.view({batch, 1, grid, grid}), {size, size}, false)
          .squeeze(1);
  const at::Tensor truth = masks.to(at::kFloat), soft = at::clamp(truth, 1e-5, 1 - 1e-5);
  const at::Tensor pt = soft * abnormal + (1 - soft) * (1 - abnormal) + 1e-5;
  return at::stack({(-(1 - pt).square() * pt.log()).mean({1, 2}), abnormal.sum({1, 2}),
                    (abnormal * truth).sum({1, 2})},
                   1);
}

void add_local_loss() {
  constexpr std::int64_t kBatch = 8;
  for (const auto& [size, grid, pixels] : {std::tuple("/quarter", 18, 252),
                                           {"/one", 37, 518},
                                           {"/four", 74, 1036},
                                           {"/literal", 37, 518}}) {
    const bool literal = size == std::string("/literal");
    add_bench("local_loss" + std::string(size), 1, 9,
              [=, grid = grid, pixels = pixels](benchmark::State& state) {
                const at::Tensor probability = at::rand({kBatch, grid * grid}).requires_grad_(true);
                const at::Tensor masks = at::rand({kBatch, pixels, pixels}).lt(0.1).to(at::kByte);
                for (auto iteration : state) {
                  const at::Tensor sums = literal ? literal_sums(probability, masks, grid)
                                                  : local_sums(probability, masks);
                  benchmark::DoNotOptimize(torch::autograd::grad({sums.sum()}, {probability}));
                }
                set_units(state, static_cast<double>(kBatch * pixels * pixels));
              });
  }
}

// Optimises a method for one step at a time, as a job does: sums of virtual shards of two images.
class Steps {
 public:
  Steps(std::unique_ptr<Method> method, std::unique_ptr<BatchSource> source)
      : method_(std::move(method)), source_(std::move(source)) {}
  void step() {
    SingleCommunicator comm;
    TrainOptions options;
    options.epochs = 1;
    options.batch_size = source_->size();
    options.seed = seed_++;
    train(*method_, *source_, options, comm);
  }

 private:
  std::unique_ptr<Method> method_;
  std::unique_ptr<BatchSource> source_;
  std::uint64_t seed_ = 0;
};

// A step of `name` at a quarter of, at and at four times 8 images, on the tiny or the real CLIP.
void add_step(const std::string& figure,
              const std::string& name,
              bool real,
              int threads,
              const std::function<double(double)>& tokens,
              const std::function<int(std::int64_t)>& repetitions) {
  for (const auto& [size, factor] : kSizes) {
    const auto images = static_cast<std::int64_t>(8 * factor);
    add_bench(figure + size, threads, repetitions(images), [=](benchmark::State& state) {
      static std::map<std::string, Steps> all;
      const std::string key = name + (real ? " real " : " tiny ") + std::to_string(images);
      auto found = all.find(key);
      if (found == all.end()) {
        found = all.emplace(key, real ? Steps(real_method(name), real_features(images))
                                      : Steps(tiny_method(name), in_memory(random_batch(images))))
                    .first;
        found->second.step();
      }
      Steps& steps = found->second;
      if (real) {
        const double flops = text_flops(real_text_clip(), tokens(static_cast<double>(images)));
        run_against_limit(state, flops, [&] { steps.step(); });
      } else {
        for (auto iteration : state) steps.step();
      }
      set_units(state, static_cast<double>(images));
    });
  }
}

// The same step as released, but for images, which are features here, too, and for gradients of
// frozen weights: the form that golden tests compare.
void add_literal_step(const std::string& figure, const std::string& name, bool real, int threads) {
  constexpr std::int64_t kImages = 8;
  add_bench(figure + "/literal", threads, real ? 1 : 3, [=](benchmark::State& state) {
    const auto method = real ? real_method(name, /*seed=*/1, /*literal=*/true)
                             : tiny_method(name, {}, /*seed=*/1, /*literal=*/true);
    LiteralTraining training(*method, {});
    const auto source = real ? real_features(kImages) : in_memory(random_batch(kImages));
    std::vector<std::int64_t> indices(kImages);
    std::iota(indices.begin(), indices.end(), 0);
    const Batch batch = source->load(indices);
    for (auto iteration : state) benchmark::DoNotOptimize(training.step(batch));
    set_units(state, kImages);
  });
}

void add_steps(BenchScale scale) {
  // Tokens of a step of B images (spec/performance.md 1.2), K = 10, E = 5, E' = 2, `damaged`.
  const auto faprompt = [](double images) { return 6 + 3 + 10 * 6 * (1 + images); };
  const auto anomalyclip = [](double /*images*/) { return 33.0; };
  // Enough for one that no other machine on this hardware disturbs, as far as time allows.
  const auto many = [](std::int64_t images) { return images == 8 ? 25 : 9; };
  const auto some = [](std::int64_t images) { return images > 8 ? 3 : 11; };
  add_step("faprompt_step_tiny", "faprompt:released", false, 1, faprompt, many);
  add_step("anomalyclip_step_tiny", "anomalyclip:released", false, 1, anomalyclip, many);
  add_literal_step("faprompt_step_tiny", "faprompt:released", false, 1);
  add_literal_step("anomalyclip_step_tiny", "anomalyclip:released", false, 1);
  if (scale != BenchScale::kFull) return;
  for (const int threads : {1, 2}) {
    const std::string suffix = threads == 1 ? "_one_thread" : "";
    add_step("faprompt_step" + suffix, "faprompt:released", true, threads, faprompt, some);
    add_step("anomalyclip_step" + suffix, "anomalyclip:released", true, threads, anomalyclip, many);
  }
  add_literal_step("faprompt_step", "faprompt:released", true, 2);
  add_literal_step("anomalyclip_step", "anomalyclip:released", true, 2);
}

// spec/performance.md 1.1.
double image_flops(const ClipSizes& sizes, double patches, double vv_blocks) {
  const double d = static_cast<double>(sizes.vision_width), n = patches + 1;
  const double attention = 4 * n * n * d, joint = static_cast<double>(sizes.joint);
  return static_cast<double>(sizes.vision_layers) * (24 * d * d * n + attention) +
         vv_blocks * (attention + 2 * d * d * n) + 2 * n * d * joint +
         patches * 2 * 3 * static_cast<double>(sizes.patch * sizes.patch) * d;
}

// One image through ViT-L/14@336 with V-V on blocks 6 to 24, at the papers' 518 px, at a quarter of
// and at four times as many patches.
void add_encoder(BenchScale scale) {
  const auto encode = [](benchmark::State& state, std::int64_t grid) {
    static const Clip clip(golden_clip("real", {.vision_width = 1024,
                                                .vision_layers = 24,
                                                .patch = 14,
                                                .native_grid = 24,
                                                .text_width = 64,
                                                .text_layers = 1,
                                                .context = 77,
                                                .vocabulary = 8,
                                                .joint = 768}));
    at::set_num_threads(2);  // The generator of the weights sets one.
    const at::NoGradGuard no_grad;
    const at::Tensor image = at::randn({1, 3, grid * 14, grid * 14});
    FeatureSpec spec;
    spec.streams = {"vv"};
    spec.first_block = 6;
    spec.layers = {24};
    const double flops = image_flops(clip.sizes(), static_cast<double>(grid * grid), 19);
    run_against_limit(state, flops,
                      [&] { benchmark::DoNotOptimize(clip.encode_images(image, spec)); });
    set_units(state, static_cast<double>(grid * grid));
  };
  const auto add = [&](const char* name, int repetitions, std::int64_t grid) {
    add_bench(name, 2, repetitions, [=](benchmark::State& state) { encode(state, grid); });
  };
  add("encoder/quarter", 3, 18);
  if (scale == BenchScale::kQuick) return;
  add("encoder/one", 5, 37);
  if (scale == BenchScale::kFull) add("encoder/four", 1, 74);
  add_bench("encoder/literal", 2, 1, [=](benchmark::State& state) {
    at::globalContext().setSDPUseFlash(false);
    encode(state, 37);
    at::globalContext().setSDPUseFlash(true);
  });
}

void register_all(BenchScale scale) {
  add_local_loss();
  add_steps(scale);
  add_encoder(scale);
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) { return assay::bench_main(argc, argv, assay::register_all); }
