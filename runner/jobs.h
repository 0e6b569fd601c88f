#pragma once

#include "registry/method_catalogue.h"
#include "runner/gang_loop.h"
#include "runner/job_run.h"
#include "runner/loaded.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace assay {

/// A job was told to stop and has kept its state; never leaves `run_job`.
class JobInterrupted : public std::exception {};

/// One job on one rank of its gang: what it is, what is loaded, whom to tell.
struct JobContext {
  const JobRun& run;
  Loaded& loaded;
  JobControl& control;

  [[nodiscard]] Communicator& comm() const { return control.comm; }
};

/// Runs a job of any kind to its end; rank 0 then writes result.json, which makes it done. A
/// collective call. Throws JobError on every rank alike.
JobEnd run_job(const JobRun& run, Loaded& loaded, JobControl& control);

// The kinds. Each returns the fields of result.json beyond `id` and `kind`, on rank 0 at least.
// Collective calls; throw JobError on every rank alike, and JobInterrupted.
[[nodiscard]] nlohmann::json run_encode(const EncodeSpec& spec, const JobContext& context);
[[nodiscard]] nlohmann::json run_train(const TrainSpec& spec, const JobContext& context);
[[nodiscard]] nlohmann::json run_evaluate(const EvaluateSpec& spec, const JobContext& context);
[[nodiscard]] nlohmann::json run_profile(const ProfileSpec& spec, const JobContext& context);

// What they share; collective calls with the same errors.

/// The frozen backbone, whose file must have the digest of the spec, on the rank's device and with
/// products in `precision`, which LibTorch computes in from now on.
[[nodiscard]] std::shared_ptr<const Clip> load_clip(const EncoderSpec& encoder,
                                                    const std::string& precision,
                                                    const JobContext& context);

/// Features of a part. Shards that are missing or damaged are encoded first.
[[nodiscard]] std::shared_ptr<const FeatureSet> load_features(const EncoderSpec& encoder,
                                                              const DatasetPart& part,
                                                              const JobContext& context);

/// The images of a part, which must be those of the spec, and where their features belong.
[[nodiscard]] FeatureFiles find_images(const EncoderSpec& encoder,
                                       const DatasetPart& part,
                                       const JobContext& context);

/// Labelled masks of every image of a set at `size` x `size`, in its order; images without a mask
/// have an empty one.
[[nodiscard]] std::shared_ptr<const std::vector<MaskRuns>> masks_of(const FeatureFiles& files,
                                                                    std::int64_t size,
                                                                    const JobContext& context);

/// The tokenizer, on this rank alone.
[[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer_of(const JobContext& context);

/// A method with all its switches, from the identity and the hints of any job but encode.
[[nodiscard]] ResolvedMethod resolved_method(const std::string& method,
                                             const EncoderSpec& encoder,
                                             const nlohmann::json& hints);

}  // namespace assay
