#pragma once

#include "registry/feature_spec.h"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

enum class JobKind { kEncode, kTrain, kEvaluate, kProfile };
inline constexpr std::array kJobKinds = {JobKind::kEncode, JobKind::kTrain, JobKind::kEvaluate,
                                         JobKind::kProfile};
[[nodiscard]] std::string_view to_string(JobKind kind);
/// Throws ConfigError where `name` is no kind.
[[nodiscard]] JobKind job_kind_from(std::string_view name);

/// Raised by a developer when the results of a kind of job change.
inline constexpr std::int64_t kEncodeNumerics = 1;
inline constexpr std::int64_t kTrainNumerics = 4;
inline constexpr std::int64_t kEvaluateNumerics = 4;
inline constexpr std::int64_t kProfileNumerics = 1;

/// One split of a data set, as far as it can change a number: what the images are.
struct DatasetPart {
  std::string dataset = {};  ///< Catalogue name.
  std::string split = {};    ///< `train` or `test`.
  std::string manifest_digest =
      {};  ///< Contents, masks, labels, categories (`datasets/manifest.h`).
  std::vector<std::string> skipped = {};  ///< Paths left out on request, in order.
  bool operator==(const DatasetPart&) const = default;
};

/// What turns an image into features: the feature key is the SHA-256 of its canonical JSON.
struct EncoderSpec {
  std::string weights_sha256 = {};
  FeatureSpec features;
  std::string preprocessing = "pillow bicubic stretch, clip mean and deviation";
  std::string storage = "float16 unit rows, float32 norms and global";
  std::string precision = "fp32";  ///< Of products (runner/precision.h).
  std::int64_t numerics = kEncodeNumerics;
  bool operator==(const EncoderSpec&) const = default;

  [[nodiscard]] std::string key() const;
};

/// Images of one split -> features.
struct EncodeSpec {
  EncoderSpec encoder = {};
  DatasetPart part = {};
  bool operator==(const EncodeSpec&) const = default;
};

/// Features -> checkpoint.
struct TrainSpec {
  std::string method = {};
  nlohmann::json switches = {};  ///< Effective ones, less those that only act at inference.
  EncoderSpec encoder = {};
  std::vector<DatasetPart> parts =
      {};  ///< Auxiliary sets, sorted by set and split; each image once.
  std::int64_t seed = 0;
  std::int64_t epochs = 0, batch = 0;
  std::string optimiser = "adam";
  double learning_rate = 0, beta1 = 0.5, beta2 = 0.999, epsilon = 1e-8;
  std::string precision = "fp32";
  std::int64_t images_per_shard = 2;  ///< Of the virtual shards (`design.md` 5).
  std::int64_t numerics = kTrainNumerics;
  bool operator==(const TrainSpec&) const = default;
};

/// Checkpoint x data set -> scores, metrics.
struct EvaluateSpec {
  std::string method = {};
  nlohmann::json switches =
      {};  ///< Effective ones, less `train.*`, which the checkpoint stands for.
  std::string checkpoint = {};  ///< Id of the train job; empty: nothing is trained, or an ensemble.
  std::vector<std::string> checkpoints = {};  ///< Of an ensemble, sorted; empty: none.
  std::string combine = {};                   ///< Of an ensemble: `prototype` or `scores`.
  EncoderSpec encoder = {};
  DatasetPart part = {};          ///< The target's test split.
  std::int64_t eval_size = 0;     ///< Pixels: size of maps and masks in pixel metrics.
  double aupro_limit = 0.3;       ///< FPR up to which PRO is integrated.
  std::int64_t connectivity = 8;  ///< Of regions.
  bool cflow200 = true;           ///< Also the papers' 200-threshold AUPRO.
  std::string precision = "fp32";
  std::int64_t numerics = kEvaluateNumerics;
  bool operator==(const EvaluateSpec&) const = default;
};

/// What a method costs on one machine (`spec/ablations.md` 5.1): the one kind of job whose numbers
/// are the machine's.
struct ProfileSpec {
  std::string method = {};
  nlohmann::json switches = {};  ///< Effective ones.
  EncoderSpec encoder = {};
  DatasetPart part = {};                  ///< Its first images are what is measured.
  std::string phase = {};                 ///< `train` or `infer`.
  std::string form = {};                  ///< `literal` or `cached`.
  std::int64_t batch = 1;                 ///< Images of a step; 1 of inference.
  std::int64_t steps = 100, warmup = 20;  ///< Timed, and untimed before them.
  std::string device = "cpu";             ///< Or a GPU's name.
  std::string host = {}, build = {};      ///< runner/machine.h
  std::string precision = "fp32";
  std::int64_t numerics = kProfileNumerics;
  bool operator==(const ProfileSpec&) const = default;
};

// The identity as JSON: every field above and the kind, nothing else; `precision` only where it is
// not the default, and in a train job always, as `float32`: what was computed before there was a
// choice keeps its id. The inverse throws ConfigError on a missing or unknown field.
[[nodiscard]] nlohmann::json to_json(const DatasetPart& part);
[[nodiscard]] nlohmann::json to_json(const EncoderSpec& spec);
[[nodiscard]] nlohmann::json to_json(const EncodeSpec& spec);
[[nodiscard]] nlohmann::json to_json(const TrainSpec& spec);
[[nodiscard]] nlohmann::json to_json(const EvaluateSpec& spec);
[[nodiscard]] nlohmann::json to_json(const ProfileSpec& spec);
[[nodiscard]] EncodeSpec encode_spec_from_json(const nlohmann::json& json);
[[nodiscard]] TrainSpec train_spec_from_json(const nlohmann::json& json);
[[nodiscard]] EvaluateSpec evaluate_spec_from_json(const nlohmann::json& json);
[[nodiscard]] ProfileSpec profile_spec_from_json(const nlohmann::json& json);

/// JSON with sorted keys, no blanks and the shortest numbers that read back as the same; a whole
/// number is written the same whether it came as 1 or 1.0. Throws ConfigError on NaN and infinity.
[[nodiscard]] std::string canonical_json(const nlohmann::json& json);

/// SHA-256 of the canonical JSON: a job's id.
[[nodiscard]] std::string identity(const nlohmann::json& spec);

/// `text` as a file name for people: at most `limit` bytes of whole UTF-8 characters, no '/' or
/// control characters. What is cut or replaced is told apart by a digest at the end
/// (`cases.md` S05).
[[nodiscard]] std::string file_name(std::string_view text, std::size_t limit = 255);

}  // namespace assay
