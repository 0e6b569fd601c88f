#include "runner/job_spec.h"

#include "core/error.h"
#include "core/file.h"

#include <gmock/gmock.h>

#include <limits>
#include <map>
#include <set>
#include <sstream>

namespace assay {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

EncoderSpec encoder() {
  return {.weights_sha256 = "w",
          .features = {.backbone = "assay-tiny",
                       .image_size = 128,
                       .streams = {"vv"},
                       .first_block = 3,
                       .layers = {8}}};
}

EncodeSpec encode_spec() { return {.encoder = encoder(), .part = {"synth-a", "test", "m"}}; }

TrainSpec train_spec() {
  return {.method = "faprompt",
          .switches = {{"cap.K", 10}, {"loss.oc_weight", 0.1}},
          .encoder = encoder(),
          .parts = {{"synth-a", "test", "m"}},
          .seed = 1,
          .epochs = 7,
          .batch = 8,
          .learning_rate = 1e-3};
}

EvaluateSpec evaluate_spec() {
  return {.method = "faprompt",
          .switches = {{"cap.K", 10}, {"infer.sigma", 2.5}},
          .checkpoint = "c",
          .encoder = encoder(),
          .part = {"elpv", "test", "n"},
          .eval_size = 128};
}

/// `value` with one scalar below it changed, for every scalar.
std::vector<std::pair<std::string, json>> perturbed(const json& value) {
  std::vector<std::pair<std::string, json>> all;
  const json flat = value.flatten();
  for (const auto& [path, scalar] : flat.items()) {
    json changed = value;
    json& field = changed[json::json_pointer(path)];
    if (scalar.is_string()) field = scalar.get<std::string>() + "x";
    if (scalar.is_boolean()) field = !scalar.get<bool>();
    if (scalar.is_number()) field = scalar.get<double>() + 1;
    all.emplace_back(path, changed);
  }
  return all;
}

EvaluateSpec ensemble_spec() {
  EvaluateSpec spec = evaluate_spec();
  spec.checkpoint.clear();
  spec.checkpoints = {"c", "d"};
  spec.combine = "prototype";
  spec.precision = spec.encoder.precision = "bf16";
  spec.part.skipped = {"bad.png"};
  return spec;
}

ProfileSpec profile_spec() {
  return {.method = "faprompt",
          .switches = {{"cap.K", 10}},
          .encoder = encoder(),
          .part = {"elpv", "test", "n"},
          .phase = "train",
          .form = "cached",
          .batch = 8,
          .host = "node7",
          .build = "assay 0.1.0",
          .precision = "bf16"};
}

TEST(Identity, EveryFieldOfEveryKindChangesIt) {
  for (const json& spec : {to_json(encode_spec()), to_json(train_spec()), to_json(evaluate_spec()),
                           to_json(ensemble_spec()), to_json(profile_spec())}) {
    std::set<std::string> ids = {identity(spec)};
    for (const auto& [path, changed] : perturbed(spec)) {
      EXPECT_TRUE(ids.insert(identity(changed)).second) << path << " of " << spec.dump();
    }
  }
}

/// The fields that the README lists, by the first cell of the row: `train`, `in part`.
std::map<std::string, std::set<std::string>> documented_fields() {
  const std::string text = read_file(std::string(ASSAY_SOURCE_DIR) + "/README.md");
  const std::size_t begin = text.find("### What a job's identity holds");
  std::istringstream section(text.substr(begin, text.find("\n###", begin + 1) - begin));
  std::map<std::string, std::set<std::string>> fields;
  for (std::string line; std::getline(section, line);) {
    if (!line.starts_with("| ") || line.find('`') == std::string::npos) continue;
    const std::size_t bar = line.find(" | ");
    std::string row = line.substr(2, bar - 2);
    std::erase(row, '`');
    for (std::size_t at = line.find('`', bar); at != std::string::npos; at = line.find('`', at)) {
      const std::size_t end = line.find('`', at + 1);
      fields[row].insert(line.substr(at + 1, end - at - 1));
      at = end + 1;
    }
  }
  return fields;
}

std::set<std::string> fields_of(const json& spec) {
  std::set<std::string> names;
  for (const auto& [name, value] : spec.items()) names.insert(name);
  return names;
}

// A field more or less is a decision, not an accident.
TEST(Identity, HoldsExactlyTheFieldsThatTheReadmeLists) {
  const auto documented = documented_fields();
  std::set<std::string> evaluate = fields_of(to_json(evaluate_spec()));
  evaluate.merge(fields_of(to_json(ensemble_spec())));
  EXPECT_EQ(documented.at("encode"), fields_of(to_json(encode_spec())));
  EXPECT_EQ(documented.at("train"), fields_of(to_json(train_spec())));
  EXPECT_EQ(documented.at("evaluate"), evaluate);
  EXPECT_EQ(documented.at("profile"), fields_of(to_json(profile_spec())));
  EXPECT_EQ(documented.at("in encoder"), fields_of(to_json(ensemble_spec())["encoder"]));
  EXPECT_EQ(documented.at("in features"), fields_of(to_json(encoder())["features"]));
  EXPECT_EQ(documented.at("in part"), fields_of(to_json(ensemble_spec())["part"]));
}

// The SHA-256 of the texts as Python writes them. If one changes, every finished job of every user
// is computed again.
TEST(Identity, IsTheSameInEveryBuild) {
  EXPECT_EQ(
      canonical_json(to_json(encode_spec())),
      R"({"encoder":{"features":{"activation":"quick_gelu","backbone":"assay-tiny","cls_ln_post":false,"first_block":3,"image_size":128,"layers":[8],"pos_resize":"bilinear","streams":["vv"]},"numerics":1,"preprocessing":"pillow bicubic stretch, clip mean and deviation","storage":"float16 unit rows, float32 norms and global","weights_sha256":"w"},"kind":"encode","part":{"dataset":"synth-a","manifest_digest":"m","split":"test"}})");
  EXPECT_EQ(identity(to_json(encode_spec())),
            "6a8a7938962dceb51688b73ceb6dac8a8a66f7169220c22fae9eae9768e3e9c2");
  EXPECT_EQ(identity(to_json(train_spec())),
            "3c09f4cc78b546f1f096e998cd3c0fda19f2aa98269267a69cda5666b39742f6");
  EXPECT_EQ(identity(to_json(evaluate_spec())),
            "78dfc4aee3c2bdfdbec40736050b2b1087c6ecb7b72491eb0fb6160c871f4534");
  EXPECT_EQ(encoder().key(), "e7d5b08cc53f9812c4b8823728a3d86d875671d4b43b913c27eb11a01ac49980");
}

TEST(Identity, HoldsAPrecisionOfEachKindAndNotTheDefault) {
  std::set<std::string> ids;
  for (const char* precision : {"fp32", "tf32", "bf16"}) {
    EncodeSpec encode = encode_spec();
    encode.encoder.precision = precision;
    TrainSpec train = train_spec();
    train.precision = precision;
    EvaluateSpec evaluate = evaluate_spec();
    evaluate.precision = precision;
    for (const json& spec : {to_json(encode), to_json(train), to_json(evaluate)}) {
      EXPECT_TRUE(ids.insert(identity(spec)).second) << spec.dump();
    }
    EXPECT_EQ(encode_spec_from_json(to_json(encode)), encode);
    EXPECT_EQ(train_spec_from_json(to_json(train)), train);
    EXPECT_EQ(evaluate_spec_from_json(to_json(evaluate)), evaluate);
  }
}

TEST(Identity, KindsDoNotCollide) { EXPECT_NE(identity(to_json(encode_spec())), encoder().key()); }

TEST(CanonicalJson, SortsKeysAndWritesNumbersOneWay) {
  EXPECT_EQ(canonical_json(json::parse(R"({"b": 1.0, "a": [1, 1e0, 0.1, -0.0, 1e300]})")),
            R"({"a":[1,1,0.1,0,1e+300],"b":1})");
  EXPECT_EQ(canonical_json(json(9007199254740993)), "9007199254740993");
}

TEST(CanonicalJson, RefusesWhatIsNoNumber) {
  EXPECT_THAT([] { (void)canonical_json({std::numeric_limits<double>::quiet_NaN()}); },
              ThrowsMessage<ConfigError>(HasSubstr("NaN or infinity in a job's spec")));
}

TEST(JobSpec, ReadsBackWhatWasWritten) {
  EXPECT_EQ(encode_spec_from_json(json::parse(to_json(encode_spec()).dump())), encode_spec());
  EXPECT_EQ(train_spec_from_json(json::parse(to_json(train_spec()).dump())), train_spec());
  EXPECT_EQ(evaluate_spec_from_json(json::parse(to_json(evaluate_spec()).dump())), evaluate_spec());
  EXPECT_EQ(evaluate_spec_from_json(json::parse(to_json(ensemble_spec()).dump())), ensemble_spec());
  EXPECT_EQ(profile_spec_from_json(json::parse(to_json(profile_spec()).dump())), profile_spec());
}

TEST(JobSpec, RefusesMissingAndUnknownFieldsAndOtherKinds) {
  json spec = to_json(train_spec());
  spec.erase("seed");
  EXPECT_THAT([&] { (void)train_spec_from_json(spec); },
              ThrowsMessage<ConfigError>(HasSubstr("key 'seed' not found")));
  spec["seed"] = 1;
  spec["ranks"] = 2;
  EXPECT_THAT([&] { (void)train_spec_from_json(spec); },
              ThrowsMessage<ConfigError>(HasSubstr("'ranks' is not a field of a job of kind "
                                                   "'train'")));
  EXPECT_THAT([&] { (void)encode_spec_from_json(to_json(train_spec())); },
              ThrowsMessage<ConfigError>(HasSubstr("kind \"train\", expected encode")));
  EXPECT_THAT([] { (void)job_kind_from("trian"); },
              ThrowsMessage<ConfigError>(HasSubstr("'trian' is not a kind of job")));
}

TEST(FileName, KeepsAShortNameAsItIs) { EXPECT_EQ(file_name("metal_nut 1"), "metal_nut 1"); }

TEST(FileName, CutsAtAWholeCharacterAndKeepsNamesApart) {
  std::string name;
  for (int i = 0; i < 200; ++i) name += "\u00fc";  // Two bytes each.
  const std::string cut = file_name(name);
  EXPECT_LE(cut.size(), 255U);
  EXPECT_GE(cut.size(), 254U);
  EXPECT_EQ(cut.substr(0, 246), name.substr(0, 246));
  EXPECT_NE(cut, file_name(name + "x"));
}

TEST(FileName, HasNoSlashAndNoControlCharacter) {
  EXPECT_THAT(file_name("a/b"), ::testing::StartsWith("a_b~"));
  EXPECT_NE(file_name("a/b"), file_name("a_b"));
  EXPECT_NE(file_name("a/b"), file_name("a\nb"));
  EXPECT_NE(file_name(".."), "..");
  EXPECT_THAT(file_name(""), Not(::testing::IsEmpty()));
}

}  // namespace
}  // namespace assay
