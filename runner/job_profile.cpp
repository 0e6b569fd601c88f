#include "core/comm/agree.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/statistics.h"
#include "evaluator/anomaly_map.h"
#include "evaluator/metrics.h"
#include "runner/jobs.h"
#include "runner/machine.h"
#include "runner/profile_images.h"
#include "trainer/literal_training.h"
#include "trainer/resident_images.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

namespace assay {
namespace {

using nlohmann::json;

/// Images of an inference that are kept on the device, one after the other in a circle.
constexpr std::int64_t kMostImages = 32;

void check_machine(const ProfileSpec& spec, const JobContext& context) {
  const Machine here = this_machine(context.loaded.device.name());
  const std::array<std::array<std::string, 3>, 3> fields = {{{"device", spec.device, here.device},
                                                             {"host", spec.host, here.host},
                                                             {"build", spec.build, here.build}}};
  for (const auto& [name, planned, found] : fields) {
    if (planned == found) continue;
    throw ConfigError(
        "a profile of {} '{}', but this rank's is '{}'; let 'assay run' start where the gang is to "
        "compute",
        name, planned, found);
  }
}

/// Attention with its maps in memory, as long as this lives: no fused kernel.
class LiteralAttention {
 public:
  LiteralAttention() { set(false); }
  ~LiteralAttention() { set(true); }
  LiteralAttention(const LiteralAttention&) = delete;
  LiteralAttention& operator=(const LiteralAttention&) = delete;

 private:
  static void set(bool fused) {
    at::globalContext().setSDPUseFlash(fused);
    at::globalContext().setSDPUseMemEfficient(fused);
    at::globalContext().setSDPUseCuDNN(fused);
  }
};

/// The same weights; those of the text tower take gradients, since the released code freezes none.
/// Its image tower runs without gradients, and so do its word embeddings.
Clip unfrozen(const Clip& clip, const std::string& precision) {
  TensorMap weights;
  for (const auto& [name, weight] : clip.weights()) weights[name] = weight.detach();
  Clip copy(weights);
  copy.move_to(clip.device(), type_of_products(precision));
  for (const auto& [name, weight] : copy.weights()) {
    const bool frozen =
        name.starts_with("visual.") || name == "token_embedding.weight" || name == "logit_scale";
    weight.requires_grad_(!frozen);
  }
  return copy;
}

std::vector<std::int64_t> first_images(std::int64_t count) {
  std::vector<std::int64_t> images(static_cast<std::size_t>(count));
  std::iota(images.begin(), images.end(), 0);
  return images;
}

/// One profile on one rank.
class Profiler {
 public:
  Profiler(const ProfileSpec& spec,
           const JobContext& context,
           const Clip& clip,
           const Tokenizer& tokenizer,
           ProfileImages images)
      : spec_(spec),
        context_(context),
        device_(context.loaded.device.device),
        literal_(spec.form == "literal"),
        resolved_(resolved_method(spec.method, spec.encoder, context.run.hints)),
        clip_(clip),
        tokenizer_(tokenizer),
        images_(std::move(images)) {
    if (literal_) unfrozen_.emplace(unfrozen(clip, spec.precision));
  }

  /// Returns fields of result.json, or nothing where it was told to stop.
  [[nodiscard]] std::optional<json> run() {
    std::optional<LiteralAttention> attention;
    if (literal_) attention.emplace();
    add("decode_ms", images_.decode);
    add("preprocess_ms", images_.preprocess);
    if (!device_.is_cpu()) add("copy_ms", images_.copy);
    const bool whole = spec_.phase == "train" ? profile_training() : profile_inference();
    if (!whole) return std::nullopt;
    return result_;
  }

 private:
  [[nodiscard]] std::int64_t total() const { return spec_.warmup + spec_.steps; }

  void add(const std::string& figure, const Stopwatch& clock) {
    if (!clock.milliseconds().empty()) result_["figures"][figure] = mean(clock.milliseconds());
  }

  void add_with_spread(const std::string& figure, const std::vector<double>& milliseconds) {
    json& figures = result_["figures"];
    figures[figure] = mean(milliseconds);
    figures[figure + "_median"] = median(milliseconds);
    if (const auto spread = deviation(milliseconds)) figures[figure + "_deviation"] = *spread;
  }

  void add_peak(const ResidentGrowth& memory) {
    if (!device_.is_cpu()) return;  // LibTorch's C++ interface does not tell a GPU's.
    if (const auto bytes = memory.bytes()) {
      result_["figures"]["peak_gb"] = static_cast<double>(*bytes) / 1e9;
    }
  }

  void tell(std::int64_t done, const char* unit) {
    context_.control.progress({{"done", done}, {"total", total()}, {"unit", unit}});
  }

  [[nodiscard]] std::unique_ptr<Method> make() const {
    return make_method({literal_ ? *unfrozen_ : clip_, tokenizer_, resolved_, literal_},
                       /*seed=*/0);
  }

  [[nodiscard]] Batch encode(std::span<const std::int64_t> images) const {
    return images_.encode(clip_, spec_.encoder.features, images, literal_);
  }

  /// From images, or features, of the batch on the device to updated parameters.
  bool profile_training() {
    const auto rate = resolved_.switches.at("train.lr").get<double>();
    return literal_ ? train_literally({.learning_rate = rate}) : train_cached(rate);
  }

  bool train_literally(const AdamSettings& settings) {
    const std::unique_ptr<Method> method = make();
    const ResidentGrowth memory;
    LiteralTraining training(*method, settings);
    Stopwatch clock(device_);
    for (std::int64_t step = 0; step < total(); ++step) {
      if (context_.control.should_stop()) return false;
      double loss = 0;
      clock.time([&] { loss = training.step(encode(first_images(spec_.batch))); },
                 step >= spec_.warmup);
      if (step == 0) result_["first_loss"] = loss;
      tell(step + 1, "step");
    }
    add_peak(memory);
    add_with_spread("train_ms_per_batch", clock.milliseconds());
    return true;
  }

  bool train_cached(double rate) {
    const ResidentImages source(encode(first_images(spec_.batch)));
    const std::unique_ptr<Method> method = make();
    const ResidentGrowth memory;
    TrainOptions options;
    options.epochs = total();  // Of one step each.
    options.batch_size = spec_.batch;
    options.learning_rate = rate;
    options.one_batch_a_rank = !device_.is_cpu();
    SingleCommunicator alone;
    Stopwatch clock(device_);
    clock.start();
    const auto on_step = [&](const StepReport& report) {
      clock.stop(report.step > spec_.warmup);
      if (report.step == 1) result_["first_loss"] = report.loss;
      tell(report.step, "step");
      clock.start();
    };
    if (train(*method, source, options, alone, on_step, context_.control.should_stop).interrupted) {
      return false;
    }
    add_peak(memory);
    add_with_spread("train_ms_per_batch", clock.milliseconds());
    return true;
  }

  /// From an image, or its features, on the device to score and raw map.
  bool profile_inference() {
    const std::int64_t count = images_.pixels.size(0), size = spec_.encoder.features.image_size;
    const at::NoGradGuard no_grad;
    std::vector<Batch> features;
    Stopwatch encoding(device_);
    const std::int64_t kept = literal_ ? 1 : count;
    for (std::int64_t i = 0; i < kept; ++i) {
      if (i == 0) static_cast<void>(encode(std::array{i}));  // A warm-up.
      encoding.time([&] { features.push_back(encode(std::array{i})); });
    }
    if (!literal_) add("encode_ms", encoding);
    const std::unique_ptr<Method> method = make();
    method->prepare_inference();
    encode_words(*method, features.front());

    const bool texts_per_image = literal_ && find_method(spec_.method).texts_per_image;
    const ResidentGrowth memory;
    Stopwatch clock(device_);
    for (std::int64_t step = 0; step < total(); ++step) {
      if (context_.control.should_stop()) return false;
      const std::int64_t image = step % count;
      Prediction prediction;
      clock.start();
      if (texts_per_image) method->prepare_inference();
      prediction = method->predict(literal_ ? encode(std::array{image})
                                            : features[static_cast<std::size_t>(image)]);
      if (!literal_) {
        static_cast<void>(at::upsample_bilinear2d(prediction.map_grid.unsqueeze(1), {size, size},
                                                  /*align_corners=*/false));
      }
      clock.stop(step >= spec_.warmup);
      if (step == 0) result_["first_score"] = prediction.image_score.item<double>();
      tell(step + 1, "image");
    }
    add_peak(memory);
    add_with_spread("infer_ms_per_image", clock.milliseconds());
    result_["figures"]["fps"] = 1000 / mean(clock.milliseconds());
    if (!literal_) profile_maps(*method, features);
    return true;
  }

  /// Texts of all categories that are to come: no image's work.
  void encode_words(const Method& method, const Batch& first) const {
    const std::vector<std::string>& words = images_.truth.category_words;
    const std::set<std::string> distinct(words.begin(), words.end());
    Batch all = first;
    all.category_words.assign(distinct.begin(), distinct.end());
    const std::int64_t count = std::ssize(all.category_words);
    for (at::Tensor* tensor : {&all.patch_features, &all.patch_norms, &all.global}) {
      std::vector<std::int64_t> sizes = tensor->sizes().vec();
      sizes[0] = count;
      *tensor = tensor->expand(sizes);
    }
    static_cast<void>(method.predict(all));
  }

  /// What follows inference, on the CPU: smoothed maps, each by itself, and metrics of all.
  void profile_maps(const Method& method, const std::vector<Batch>& features) {
    const std::int64_t size = spec_.encoder.features.image_size;
    const AnomalyMapOperator to_map(size / clip_.sizes().patch, size,
                                    resolved_.switches.value("infer.sigma", 0.0), size);
    Stopwatch smooth(at::kCPU), metric(at::kCPU);
    std::vector<at::Tensor> kept;
    std::vector<std::span<const float>> maps;
    std::vector<float> scores;
    std::vector<std::uint8_t> labels;
    for (const Batch& batch : features) {
      const Prediction prediction = method.predict(batch);
      const at::Tensor grid = prediction.map_grid.to(at::kFloat).cpu().contiguous();
      kept.push_back(at::zeros({1, size, size}));
      smooth.time([&] { to_map.write(grid, kept.back()); });
      maps.emplace_back(kept.back().const_data_ptr<float>(), static_cast<std::size_t>(size * size));
      scores.push_back(prediction.image_score.item<float>());
      labels.push_back(static_cast<std::uint8_t>(batch.labels.item<std::int64_t>()));
    }
    add("smooth_ms", smooth);
    metric.time([&] {
      static_cast<void>(image_metrics(scores, labels));
      if (!images_.mask_runs.empty()) static_cast<void>(pixel_metrics(maps, images_.mask_runs));
    });
    result_["figures"]["metric_ms"] =
        metric.milliseconds().front() / static_cast<double>(features.size());
  }

  const ProfileSpec& spec_;
  const JobContext& context_;
  at::Device device_;
  bool literal_;
  ResolvedMethod resolved_;
  const Clip& clip_;
  std::optional<Clip> unfrozen_;  // Of the literal form: the text tower's.
  const Tokenizer& tokenizer_;
  ProfileImages images_;
  json result_ = {{"figures", json::object()}};
};

/// Nothing is trained: it takes no time.
json nothing_to_train() { return {{"figures", {{"train_ms_per_batch", 0}}}}; }

json measured(const ProfileSpec& spec, const JobContext& context) {
  const FeatureFiles files = find_images(spec.encoder, spec.part, context);
  const auto clip = load_clip(spec.encoder, spec.precision, context);
  std::shared_ptr<const std::vector<MaskRuns>> masks;
  if (files.manifest.has_masks) {
    masks = masks_of(files, spec.encoder.features.image_size, context);
  }
  const bool train = spec.phase == "train";
  const std::int64_t count =
      train ? spec.batch
            : std::min({spec.warmup + spec.steps, kMostImages, std::ssize(files.manifest.samples)});
  std::optional<json> result;
  bool stopped = false;
  agree(context.comm(), [&] {
    if (context.comm().rank() != 0) return;  // One rank is what is measured.
    const auto tokenizer = tokenizer_of(context);
    Profiler profiler(spec, context, *clip, *tokenizer,
                      read_profile_images(files, masks.get(), count, context));
    result = profiler.run();
    stopped = !result;
  });
  if (any_rank(context.comm(), stopped)) throw JobInterrupted();
  json fields = result.value_or(json::object());
  fields["images"] = count;
  return fields;
}

}  // namespace

json run_profile(const ProfileSpec& spec, const JobContext& context) {
  agree(context.comm(), [&] { check_machine(spec, context); });
  const json& hints = context.run.hints;
  const bool idle = spec.phase == "train" && !find_method(spec.method).trained;
  json result = idle ? nothing_to_train() : measured(spec, context);
  result["figures"]["params_published"] = hints.at("parameters").at("registered");
  result["figures"]["params_trained"] = hints.at("parameters").at("trained");
  result["preset"] = hints.at("preset");
  result["threads"] = at::get_num_threads();
  return result;
}

}  // namespace assay
