#include "runner/jobs.h"

#include "core/comm/agree.h"
#include "core/error.h"
#include "core/file.h"
#include "datasets/mask_store.h"
#include "registry/method.h"
#include "registry/weights_import.h"
#include "runner/encode.h"

#include <optional>

namespace assay {
namespace {

/// Fails on all ranks alike; `make` must not communicate.
template <typename T>
T made_by_all(Communicator& comm, const std::function<T()>& make) {
  std::optional<T> value;
  agree(comm, [&] { value.emplace(make()); });
  return std::move(*value);
}

Clip read_clip(const EncoderSpec& encoder,
               const std::string& precision,
               const JobContext& context) {
  const JobRun& run = context.run;
  Manifest file;  // Its digest by the cache that planning filled: a gigabyte is read once.
  file.root = run.weights.parent_path();
  file.samples.emplace_back().path = run.weights.filename().string();
  digest_files(file, run.paths().digests(encoder.features.backbone));
  if (file.samples[0].sha256 != encoder.weights_sha256) {
    throw DataError("{}: the weights have changed since the study was planned; run it again",
                    run.weights.string());
  }
  Clip clip = load_backbone(find_backbone(encoder.features.backbone), run.weights);
  clip.move_to(context.loaded.device.device, type_of_products(precision));
  return clip;
}

/// On this rank alone.
std::shared_ptr<const Clip> clip_in(const EncoderSpec& encoder,
                                    const std::string& precision,
                                    const JobContext& context) {
  use_precision(context.loaded.device, precision);
  return context.loaded.clips.get(encoder.weights_sha256 + precision,
                                  [&] { return read_clip(encoder, precision, context); });
}

FeatureFiles feature_files(const EncoderSpec& encoder, const DatasetPart& part, const JobRun& run) {
  FeatureFiles files{
      .manifest = load_manifest(part.dataset, run.data.at(part.dataset), part.split, part.skipped),
      .encoder = encoder,
      .manifest_digest = part.manifest_digest,
      .folder = run.paths().features()};
  digest_files(files.manifest, run.paths().digests(part.dataset + "." + part.split));
  if (manifest_digest(files.manifest) != part.manifest_digest) {
    throw DataError("{}: the images of {} have changed since the study was planned; run it again",
                    files.manifest.root.string(), part.dataset);
  }
  return files;
}

FeatureSet make_features(const EncoderSpec& encoder,
                         const DatasetPart& part,
                         const JobContext& context) {
  Communicator& comm = context.comm();
  FeatureFiles files = find_images(encoder, part, context);
  std::shared_ptr<const Clip> clip;
  const auto lazy_clip = [&]() -> const Clip& {
    if (!clip) clip = clip_in(encoder, encoder.precision, context);
    return *clip;
  };
  const auto on_image = [&](std::int64_t done, std::int64_t total) {
    context.control.progress({{"done", done}, {"total", total}, {"unit", "image"}});
  };
  if (!encode_missing_shards(lazy_clip, files, comm, on_image, context.control.should_stop)) {
    throw JobInterrupted();
  }
  return made_by_all<FeatureSet>(comm, [&] { return FeatureSet(std::move(files)); });
}

}  // namespace

std::shared_ptr<const Clip> load_clip(const EncoderSpec& encoder,
                                      const std::string& precision,
                                      const JobContext& context) {
  std::shared_ptr<const Clip> clip;
  agree(context.comm(), [&] { clip = clip_in(encoder, precision, context); });
  return clip;
}

FeatureFiles find_images(const EncoderSpec& encoder,
                         const DatasetPart& part,
                         const JobContext& context) {
  return made_by_all<FeatureFiles>(context.comm(),
                                   [&] { return feature_files(encoder, part, context.run); });
}

std::shared_ptr<const FeatureSet> load_features(const EncoderSpec& encoder,
                                                const DatasetPart& part,
                                                const JobContext& context) {
  const std::string key = encoder.key() + part.dataset + part.split + part.manifest_digest;
  return context.loaded.features.get(key, [&] { return make_features(encoder, part, context); });
}

std::shared_ptr<const std::vector<MaskRuns>> masks_of(const FeatureFiles& files,
                                                      std::int64_t size,
                                                      const JobContext& context) {
  const std::string key = fmt::format("{}:{}", files.manifest_digest, size);
  std::shared_ptr<const std::vector<MaskRuns>> masks;
  agree(context.comm(), [&] {
    masks = context.loaded.masks.get(key, [&] {
      LoadedMasks loaded =
          load_masks(files.manifest, context.run.paths().masks(), static_cast<std::int32_t>(size));
      if (!loaded.refused.empty()) fmt::print(stderr, "{}; it is made again\n", loaded.refused);
      return std::move(loaded.set.masks);
    });
  });
  return masks;
}

std::shared_ptr<const Tokenizer> tokenizer_of(const JobContext& context) {
  return context.loaded.tokenizers.get(context.run.merges.string(),
                                       [&] { return Tokenizer(context.run.merges); });
}

ResolvedMethod resolved_method(const std::string& method,
                               const EncoderSpec& encoder,
                               const nlohmann::json& hints) {
  ResolvedMethod resolved;
  resolved.method = method;
  resolved.preset = hints.value("preset", "");
  resolved.switches = hints.at("switches");
  resolved.features = encoder.features;
  return resolved;
}

nlohmann::json run_encode(const EncodeSpec& spec, const JobContext& context) {
  const auto features = load_features(spec.encoder, spec.part, context);
  const FeatureFiles& files = features->files();
  nlohmann::json shards = nlohmann::json::array();
  for (std::int64_t shard = 0; shard < files.num_shards(); ++shard) {
    shards.push_back(files.path(shard).lexically_relative(context.run.workspace).string());
  }
  return {{"num_images", features->size()}, {"shards", shards}};
}

JobEnd run_job(const JobRun& run, Loaded& loaded, JobControl& control) {
  const JobContext context{run, loaded, control};
  nlohmann::json result;
  try {
    switch (run.kind) {
      case JobKind::kEncode: result = run_encode(encode_spec_from_json(run.spec), context); break;
      case JobKind::kTrain: result = run_train(train_spec_from_json(run.spec), context); break;
      case JobKind::kEvaluate:
        result = run_evaluate(evaluate_spec_from_json(run.spec), context);
        break;
      case JobKind::kProfile:
        result = run_profile(profile_spec_from_json(run.spec), context);
        break;
    }
  } catch (const JobInterrupted&) {
    return JobEnd::kInterrupted;
  }
  result["id"] = run.id;
  result["kind"] = to_string(run.kind);
  result["ranks"] = control.comm.world_size();
  result["device"] = loaded.device.name();
  result["spec"] = run.spec;
  if (run.hints.contains("plan")) result["plan"] = run.hints["plan"];
  if (run.attempt > 0) result["attempt"] = run.attempt;
  agree(control.comm, [&] {
    if (control.comm.rank() != 0) return;
    result["files"] = describe_files(run.folder(), {"checkpoint.safetensors", "scores.h5"});
    write_file_atomically(run.result(), result.dump(1) + "\n");
  });
  return JobEnd::kDone;
}

}  // namespace assay
