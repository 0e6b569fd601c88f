#include "runner/job_spec.h"

#include "core/digest.h"
#include "core/error.h"
#include "runner/precision.h"

#include <cmath>

namespace assay {
namespace {

using nlohmann::json;

DatasetPart part_from_json(const json& value) {
  return {.dataset = value.at("dataset"),
          .split = value.at("split"),
          .manifest_digest = value.at("manifest_digest"),
          .skipped = value.value("skipped", std::vector<std::string>{})};
}

EncoderSpec encoder_from_json(const json& value) {
  return {.weights_sha256 = value.at("weights_sha256"),
          .features = feature_spec_from_json(value.at("features")),
          .preprocessing = value.at("preprocessing"),
          .storage = value.at("storage"),
          .precision = value.value("precision", kDefaultPrecision),
          .numerics = value.at("numerics")};
}

/// What a train job's `precision` is called in its identity.
constexpr const char* kDefaultOfTraining = "float32";

json with_precision(json value, const std::string& precision) {
  if (precision != kDefaultPrecision) value["precision"] = precision;
  return value;
}

/// Reads with `read`; what it left out or made up shows when it is written again.
template <typename Read>
auto strictly(const json& value, JobKind kind, Read read) {
  try {
    if (value.at("kind") != to_string(kind)) {
      throw ConfigError("a job of kind {}, expected {}", value.at("kind").dump(), to_string(kind));
    }
    auto spec = read();
    const json again = to_json(spec);
    for (const auto& [key, field] : value.items()) {
      if (!again.contains(key)) {
        throw ConfigError(
            "'{}' is not a field of a job of kind '{}'; it was planned by another "
            "version of assay",
            key, to_string(kind));
      }
    }
    return spec;
  } catch (const json::exception& error) {
    throw ConfigError("the spec of a job of kind '{}' cannot be read: {}", to_string(kind),
                      error.what());
  }
}

void write_canonical(const json& value, std::string& text) {
  if (value.is_object()) {
    text += '{';
    const char* separator = "";
    for (const auto& [key, field] : value.items()) {
      text += separator + json(key).dump() + ":";
      write_canonical(field, text);
      separator = ",";
    }
    text += '}';
    return;
  }
  if (value.is_array()) {
    text += '[';
    const char* separator = "";
    for (const json& item : value) {
      text += separator;
      write_canonical(item, text);
      separator = ",";
    }
    text += ']';
    return;
  }
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!std::isfinite(number)) throw ConfigError("NaN or infinity in a job's spec");
    constexpr double kExact = 9007199254740992.0;  // 2^53: every integer up to here is a double.
    if (std::abs(number) <= kExact && number == std::trunc(number)) {
      text += std::to_string(static_cast<std::int64_t>(number));
      return;
    }
  }
  text += value.dump();
}

/// Length of the UTF-8 character that starts with `lead`.
std::size_t character_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte >= 0xF0) return 4;
  if (byte >= 0xE0) return 3;
  return byte >= 0xC0 ? 2 : 1;
}

}  // namespace

std::string_view to_string(JobKind kind) {
  switch (kind) {
    case JobKind::kEncode: return "encode";
    case JobKind::kTrain: return "train";
    case JobKind::kEvaluate: return "evaluate";
    case JobKind::kProfile: return "profile";
  }
  return "";
}

JobKind job_kind_from(std::string_view name) {
  for (const JobKind kind : kJobKinds) {
    if (name == to_string(kind)) return kind;
  }
  throw ConfigError("'{}' is not a kind of job; known: encode, train, evaluate, profile", name);
}

std::string EncoderSpec::key() const { return identity(to_json(*this)); }

json to_json(const DatasetPart& part) {
  json value = {
      {"dataset", part.dataset}, {"split", part.split}, {"manifest_digest", part.manifest_digest}};
  if (!part.skipped.empty()) value["skipped"] = part.skipped;
  return value;
}

json to_json(const EncoderSpec& spec) {
  return with_precision({{"weights_sha256", spec.weights_sha256},
                         {"features", to_json(spec.features)},
                         {"preprocessing", spec.preprocessing},
                         {"storage", spec.storage},
                         {"numerics", spec.numerics}},
                        spec.precision);
}

json to_json(const EncodeSpec& spec) {
  return {{"kind", to_string(JobKind::kEncode)},
          {"encoder", to_json(spec.encoder)},
          {"part", to_json(spec.part)}};
}

json to_json(const TrainSpec& spec) {
  json parts = json::array();
  for (const DatasetPart& part : spec.parts) parts.push_back(to_json(part));
  return {{"kind", to_string(JobKind::kTrain)},
          {"numerics", spec.numerics},
          {"method", spec.method},
          {"switches", spec.switches},
          {"encoder", to_json(spec.encoder)},
          {"parts", std::move(parts)},
          {"seed", spec.seed},
          {"epochs", spec.epochs},
          {"batch", spec.batch},
          {"optimiser", spec.optimiser},
          {"learning_rate", spec.learning_rate},
          {"beta1", spec.beta1},
          {"beta2", spec.beta2},
          {"epsilon", spec.epsilon},
          {"precision", spec.precision == kDefaultPrecision ? kDefaultOfTraining : spec.precision},
          {"images_per_shard", spec.images_per_shard}};
}

json to_json(const EvaluateSpec& spec) {
  json value = {{"kind", to_string(JobKind::kEvaluate)},
                {"numerics", spec.numerics},
                {"method", spec.method},
                {"switches", spec.switches},
                {"encoder", to_json(spec.encoder)},
                {"part", to_json(spec.part)},
                {"eval_size", spec.eval_size},
                {"aupro_limit", spec.aupro_limit},
                {"connectivity", spec.connectivity},
                {"cflow200", spec.cflow200}};
  if (spec.checkpoints.empty()) {
    value["checkpoint"] = spec.checkpoint;
  } else {
    value["checkpoints"] = spec.checkpoints;
    value["combine"] = spec.combine;
  }
  return with_precision(std::move(value), spec.precision);
}

json to_json(const ProfileSpec& spec) {
  return with_precision({{"kind", to_string(JobKind::kProfile)},
                         {"numerics", spec.numerics},
                         {"method", spec.method},
                         {"switches", spec.switches},
                         {"encoder", to_json(spec.encoder)},
                         {"part", to_json(spec.part)},
                         {"phase", spec.phase},
                         {"form", spec.form},
                         {"batch", spec.batch},
                         {"steps", spec.steps},
                         {"warmup", spec.warmup},
                         {"device", spec.device},
                         {"host", spec.host},
                         {"build", spec.build}},
                        spec.precision);
}

EncodeSpec encode_spec_from_json(const json& value) {
  return strictly(value, JobKind::kEncode, [&] {
    return EncodeSpec{.encoder = encoder_from_json(value.at("encoder")),
                      .part = part_from_json(value.at("part"))};
  });
}

TrainSpec train_spec_from_json(const json& value) {
  return strictly(value, JobKind::kTrain, [&] {
    TrainSpec spec{.method = value.at("method"),
                   .switches = value.at("switches"),
                   .encoder = encoder_from_json(value.at("encoder")),
                   .seed = value.at("seed"),
                   .epochs = value.at("epochs"),
                   .batch = value.at("batch"),
                   .optimiser = value.at("optimiser"),
                   .learning_rate = value.at("learning_rate"),
                   .beta1 = value.at("beta1"),
                   .beta2 = value.at("beta2"),
                   .epsilon = value.at("epsilon"),
                   .precision = value.at("precision") == kDefaultOfTraining
                                    ? json(kDefaultPrecision)
                                    : value.at("precision"),
                   .images_per_shard = value.at("images_per_shard"),
                   .numerics = value.at("numerics")};
    for (const json& part : value.at("parts")) spec.parts.push_back(part_from_json(part));
    return spec;
  });
}

EvaluateSpec evaluate_spec_from_json(const json& value) {
  return strictly(value, JobKind::kEvaluate, [&] {
    EvaluateSpec spec{.method = value.at("method"),
                      .switches = value.at("switches"),
                      .encoder = encoder_from_json(value.at("encoder")),
                      .part = part_from_json(value.at("part")),
                      .eval_size = value.at("eval_size"),
                      .aupro_limit = value.at("aupro_limit"),
                      .connectivity = value.at("connectivity"),
                      .cflow200 = value.at("cflow200"),
                      .precision = value.value("precision", kDefaultPrecision),
                      .numerics = value.at("numerics")};
    if (value.contains("checkpoints")) {
      spec.checkpoints = value.at("checkpoints");
      spec.combine = value.at("combine");
    } else {
      spec.checkpoint = value.at("checkpoint");
    }
    return spec;
  });
}

ProfileSpec profile_spec_from_json(const json& value) {
  return strictly(value, JobKind::kProfile, [&] {
    return ProfileSpec{.method = value.at("method"),
                       .switches = value.at("switches"),
                       .encoder = encoder_from_json(value.at("encoder")),
                       .part = part_from_json(value.at("part")),
                       .phase = value.at("phase"),
                       .form = value.at("form"),
                       .batch = value.at("batch"),
                       .steps = value.at("steps"),
                       .warmup = value.at("warmup"),
                       .device = value.at("device"),
                       .host = value.at("host"),
                       .build = value.at("build"),
                       .precision = value.value("precision", kDefaultPrecision),
                       .numerics = value.at("numerics")};
  });
}

// nlohmann::json keeps the keys of an object sorted and writes the shortest digits that read back.
std::string canonical_json(const json& value) {
  std::string text;
  write_canonical(value, text);
  return text;
}

std::string identity(const json& spec) { return sha256(canonical_json(spec)); }

std::string file_name(std::string_view text, std::size_t limit) {
  const std::string mark = "~" + sha256(text).substr(0, 8);
  std::string name;
  bool changed = text.empty() || text == "." || text == "..";
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = std::min(character_length(text[i]), text.size() - i);
    const bool control = static_cast<unsigned char>(text[i]) < 0x20 || text[i] == 0x7F;
    if (control || text[i] == '/') {
      name += '_';
      changed = true;
    } else {
      name += text.substr(i, length);
    }
    i += length;
  }
  if (name.size() <= limit && !changed) return name;
  std::size_t size = 0;
  while (size < name.size()) {
    const std::size_t next = size + character_length(name[size]);
    if (next + mark.size() > limit) break;
    size = next;
  }
  return name.substr(0, size) + mark;
}

}  // namespace assay
