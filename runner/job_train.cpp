#include "core/comm/agree.h"
#include "core/digest.h"
#include "core/error.h"
#include "registry/method.h"
#include "registry/safetensors.h"
#include "runner/feature_batches.h"
#include "runner/jobs.h"
#include "trainer/checkpoint.h"
#include "trainer/train.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cstdio>
#include <optional>

namespace assay {
namespace {

constexpr std::int64_t kStepsPerCheckpoint = 50;

bool has_both_labels(const std::vector<TrainingPart>& parts) {
  bool normal = false, anomalous = false;
  for (const TrainingPart& part : parts) {
    for (const Sample& sample : part.features->manifest().samples) {
      (sample.label == 0 ? normal : anomalous) = true;
    }
  }
  return normal && anomalous;
}

/// The rules of `spec/ablations.md` 4.3: what a set without masks, and a list with one label, give.
FeatureBatches training_batches(const TrainSpec& spec, const JobContext& context) {
  const nlohmann::json& switches = context.run.hints.at("switches");
  const std::int64_t size = spec.encoder.features.image_size;
  std::vector<TrainingPart> parts;
  for (const DatasetPart& part : spec.parts) {
    TrainingPart loaded{.features = load_features(spec.encoder, part, context), .masks = nullptr};
    const bool zero_masks = switches.value("train.no_mask", "skip") == "zero";
    if (loaded.features->manifest().has_masks || zero_masks) {
      loaded.masks = masks_of(loaded.features->files(), size, context);
    }
    parts.push_back(std::move(loaded));
  }
  const bool image_terms =
      switches.value("train.image_terms", "auto") == "on" || has_both_labels(parts);
  return FeatureBatches(std::move(parts), size, image_terms, class_words(switches),
                        context.loaded.device.device);
}

/// Tells rank 0's coordinator how far it is; the log gets every epoch's last step.
std::function<void(const StepReport&)> reporter(const JobContext& context) {
  const auto start = std::chrono::steady_clock::now();
  return [&context, start, steps = std::int64_t{0}](const StepReport& report) mutable {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    context.control.progress({{"done", report.step},
                              {"total", report.steps},
                              {"unit", "step"},
                              {"loss", report.loss},
                              {"rate", static_cast<double>(++steps) / seconds.count()}});
    if (report.step % 10 == 0 || report.step == report.steps) {
      fmt::print(stderr, "epoch {} step {}/{} loss {:.6g}\n", report.epoch, report.step,
                 report.steps, report.loss);
    }
  };
}

}  // namespace

nlohmann::json run_train(const TrainSpec& spec, const JobContext& context) {
  Communicator& comm = context.comm();
  std::optional<FeatureBatches> batches;  // Of no epochs none: the initial parameters do.
  if (spec.epochs > 0) batches = training_batches(spec, context);
  const auto clip = load_clip(spec.encoder, spec.precision, context);
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Method> method;
  const ResolvedMethod resolved = resolved_method(spec.method, spec.encoder, context.run.hints);
  agree(comm, [&] {
    tokenizer = tokenizer_of(context);
    method = make_method({*clip, *tokenizer, resolved}, static_cast<std::uint64_t>(spec.seed));
  });
  const std::filesystem::path state = context.run.folder() / "state.safetensors";
  const ComputeDevice& device = context.loaded.device;
  const TrainOptions options{
      .epochs = spec.epochs,
      .batch_size = spec.batch,
      .learning_rate = spec.learning_rate,
      .beta1 = spec.beta1,
      .beta2 = spec.beta2,
      .seed = static_cast<std::uint64_t>(spec.seed),
      .images_per_shard = spec.images_per_shard,
      .state_path = state,
      .steps_per_checkpoint = kStepsPerCheckpoint,
      .identity = context.run.id,
      .one_batch_a_rank = device.gpu.has_value(),
      .numerics = device.gpu ? fmt::format("{}, {} ranks", device.name(), comm.world_size()) : ""};
  const nlohmann::json& hints = context.run.hints;
  agree(comm, [&] {
    if (comm.rank() != 0 || !hints.contains("continues")) return;
    const std::string shorter = hints.at("continues");
    continue_from_state(context.run.paths().job(shorter) / "state.safetensors", shorter, state,
                        context.run.id);
  });
  TrainResult trained;
  if (batches) {
    trained =
        train(*method, *batches, options, comm, reporter(context), context.control.should_stop);
  }
  if (trained.interrupted) throw JobInterrupted();

  const std::filesystem::path checkpoint = context.run.folder() / "checkpoint.safetensors";
  std::string digest;
  agree(comm, [&] {
    if (comm.rank() != 0) return;
    SafeTensors content{
        .tensors = {},
        .metadata = {
            {"format", "assay-checkpoint"}, {"job", context.run.id}, {"method", spec.method}}};
    for (const auto& [name, tensor] : method->parameters()) {
      content.tensors[name] = tensor.detach().cpu();
    }
    write_safetensors(checkpoint, content);
    digest = sha256_file(checkpoint);
    // The checkpoint stands for it, unless a training with more epochs goes on from here.
    if (!hints.value("keeps_state", false)) std::filesystem::remove(state);
  });
  return {{"steps", trained.steps},
          {"epoch_losses", trained.epoch_losses},
          {"resumed", trained.resumed},
          {"mixed_numerics", trained.mixed_numerics},
          {"checkpoint_sha256", digest}};
}

}  // namespace assay
