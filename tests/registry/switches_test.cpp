#include "evaluator/anomaly_map.h"
#include "tests/support/method_step.h"
#include "tests/support/tiny_method.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <set>

namespace assay {
namespace {

using Json = nlohmann::json;
using Overrides = std::map<std::string, Json>;

// One switch at another value than that of `paper`, given other switches.
struct Flip {
  const char* method;
  std::string name;
  Json value;
  Overrides given = {};
  bool idle = false;  // By spec/ablations.md 0 no part of the identity under the others.
};

// What a method makes of fixed images with fixed parameters.
struct Behaviour {
  ResolvedMethod resolved;
  std::vector<std::string> parameters;  // Names, and shapes.
  std::vector<at::Tensor> training;     // Initial values, loss, gradients.
  std::vector<at::Tensor> test;         // Scores and maps.
};

Behaviour behaviour(const char* name, const Overrides& switches) {
  Behaviour out;
  out.resolved = resolve_method(name, switches, find_backbone("assay-tiny"), 128);
  const auto method = make_method({tiny_clip(), clip_tokenizer(), out.resolved}, /*seed=*/1);
  at::manual_seed(3);
  const Batch batch = random_batch(4, std::ssize(out.resolved.features.streams),
                                   std::ssize(out.resolved.features.layers));
  for (const auto& [parameter, value] : method->parameters()) {
    out.parameters.push_back(fmt::format("{} {}", parameter, value.numel()));
    // The published deviation hides deep prompts behind fp16 and the blocks.
    at::NoGradGuard no_grad;
    value.mul_(10);
    out.training.push_back(value.detach().clone());
  }
  const MethodStep step = method_step(*method, {batch});
  out.training.push_back(at::tensor({step.loss}, at::kDouble));
  for (const at::Tensor& gradient : step.gradients) {
    out.training.push_back(gradient.defined() ? gradient : at::zeros({1}));
  }
  method->prepare_inference();
  const Prediction prediction = method->predict(batch);
  const AnomalyMapOperator map(16, 128, out.resolved.switches.at("infer.sigma"), 128);
  out.test = {prediction.image_score, map(prediction.map_grid)};
  return out;
}

bool same_bits(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::ranges::equal(
      a, b, [](const at::Tensor& x, const at::Tensor& y) { return at::equal(x, y); });
}

// As runner/plan.cpp: what the checkpoint stands for is not repeated.
Json at_test(const ResolvedMethod& resolved) {
  Json switches = resolved.effective;
  for (auto item = switches.begin(); item != switches.end();) {
    const bool of_training = item.key().starts_with("train.") || item.key().starts_with("loss.");
    item = of_training ? switches.erase(item) : std::next(item);
  }
  return switches;
}

void expect_other_features(const FeatureSpec& a, const FeatureSpec& b) {
  at::manual_seed(4);
  const at::Tensor images = at::randn({1, 3, 128, 128});
  const VisualFeatures first = tiny_clip().encode_images(images, a),
                       second = tiny_clip().encode_images(images, b);
  bool same =
      a.streams == b.streams && a.layers == b.layers && at::equal(first.global, second.global);
  for (const auto& [stream, rows] : first.patch) {
    same = same && at::equal(rows, second.patch.at(stream));
  }
  EXPECT_FALSE(same);
}

class Switches : public ::testing::TestWithParam<Flip> {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

TEST_P(Switches, ChangeTheNumbersExactlyWhereTheyChangeTheIdentity) {
  const Flip& flip = GetParam();
  Overrides flipped = flip.given;
  flipped[flip.name] = flip.value;
  const Behaviour before = behaviour(flip.method, flip.given),
                  after = behaviour(flip.method, flipped);

  ASSERT_NE(before.resolved.switches, after.resolved.switches);
  EXPECT_EQ(before.resolved.effective == after.resolved.effective, flip.idle);
  if (before.resolved.features != after.resolved.features) {
    expect_other_features(before.resolved.features, after.resolved.features);
    return;
  }
  const bool same_training =
      before.parameters == after.parameters && same_bits(before.training, after.training);
  const bool same_test = same_bits(before.test, after.test);
  if (before.resolved.training == after.resolved.training) {
    const bool trains = before.resolved.switches.at("train.epochs") != 0;
    EXPECT_TRUE(same_training || !trains);
    EXPECT_EQ(same_test, at_test(before.resolved) == at_test(after.resolved));
  } else if (!flip.name.starts_with("train.")) {  // Those act in the trainer and the data.
    EXPECT_FALSE(same_training);
  }
  if (at_test(before.resolved) == at_test(after.resolved)) {
    EXPECT_TRUE(same_test);
  }
}

std::vector<Flip> flips() {
  const Overrides no_dap = {{"dap.enabled", false}}, no_deep = {{"deep_depth", 1}},
                  untrained = {{"epochs", 0}};
  std::vector<Flip> flips = {
      {"faprompt", "cap.K", 4},
      {"faprompt", "cap.E", 6},
      {"faprompt", "cap.Ep", 3},
      {"faprompt", "cap.suffix_word", "damaged"},
      {"faprompt", "cap.compound", "separate"},
      {"faprompt", "dap.enabled", false},
      {"faprompt", "dap.M", 4},
      {"faprompt", "dap.M", 4, no_dap, /*idle=*/true},
      {"faprompt", "dap.select", "raster"},
      {"faprompt", "dap.select", "raster", no_dap, /*idle=*/true},
      {"faprompt", "dap.unit_tokens", false},
      {"faprompt", "dap.unit_tokens", false, no_dap, /*idle=*/true},
      {"faprompt", "loss.oc_weight", 0.5},
      {"faprompt", "loss.oc_weight", 0.5, {{"K", 1}}, /*idle=*/true},
      {"faprompt", "loss.oc_pairs", "unordered"},
      {"faprompt", "loss.oc_pairs", "unordered", {{"oc_weight", 0}}, /*idle=*/true},
      {"faprompt", "loss.prior_weight", 0.5},
      {"faprompt", "loss.prior_weight", 0.5, no_dap, /*idle=*/true},
      {"faprompt", "loss.prior_reduce", "mean"},
      {"faprompt", "loss.prior_reduce", "mean", {{"prior_weight", 0}}, /*idle=*/true},
      {"faprompt", "loss.local_weights", {1.0, 0.5}},
      {"faprompt", "loss.local_weights", {1.0, 0.5}, no_dap, /*idle=*/true},
      {"faprompt", "loss.ce_weight", 1.0},
      {"faprompt", "loss.focal_weight", 0.5},
      {"faprompt", "loss.focal_input", "logit"},
      {"faprompt", "loss.focal_input", "logit", {{"focal_weight", 0}}, /*idle=*/true},
      {"faprompt", "score.max_weight", 0.25},
      {"faprompt", "score.max_weight", 0.25, {{"focal_weight", 0}}},
      {"faprompt", "score.max_mix", {0.25, 0.75}},
      {"faprompt", "score.max_mix", {0.25, 0.75}, {{"max_weight", 0}}, /*idle=*/true},
      {"faprompt", "score.max_mix", {0.25, 0.75}, no_dap, /*idle=*/true},
      {"faprompt", "count.dead_params", false, {}, /*idle=*/true},
      {"faprompt", "prompt.words", "readable", {}, /*idle=*/true},
      {"anomalyclip", "prompt.object_train", "cls"},
      {"anomalyclip", "prompt.object_train", "cls", untrained, /*idle=*/true},
      {"anomalyclip", "prompt.object_test", "cls"},
      {"anomalyclip", "prompt.abnormal_word", "flawed"},
      {"anomalyclip", "prompt.abnormal_word", ""},
      {"anomalyclip", "prompt.shared", true},
      {"anomalyclip", "prompt.E", 6},
      {"anomalyclip", "prompt.words", "readable", {}, /*idle=*/true},
      {"anomalyclip", "vis.attention", {"qk"}},
      {"anomalyclip", "vis.attention", {"kk", "qq"}},
      {"anomalyclip", "vis.attention", {"kk", "qq"}, {{"vis.layers", 2}}, /*idle=*/true},
      {"anomalyclip", "vis.first_block", 4},
      {"anomalyclip", "vis.first_block", 4, {{"vis.attention", "qk"}}, /*idle=*/true},
      {"anomalyclip", "vis.layers", {4, 8}},
      {"anomalyclip", "loss.lambda", 4.0},
      {"anomalyclip", "loss.lambda", 4.0, {{"focal", false}, {"dice", false}}, /*idle=*/true},
      {"anomalyclip", "loss.global", false},
      {"anomalyclip", "loss.focal", false},
      {"anomalyclip", "loss.focal", false, {{"lambda", 0}}, /*idle=*/true},
      {"anomalyclip", "loss.dice", false}};
  for (const char* method : {"faprompt", "anomalyclip"}) {
    const std::vector<Flip> both = {
        {method, "text.deep_depth", 3},
        {method, "text.deep_depth", 1},
        {method, "text.deep_len", 2},
        {method, "text.deep_len", 2, no_deep, /*idle=*/true},
        {method, "text.deep_mode", "concat"},
        {method, "text.deep_fp16", "fwd_bwd"},
        {method, "text.deep_fp16", "fwd_bwd", no_deep, /*idle=*/true},
        {method, "text.temperature", 0.1},
        {method, "vis.cls_ln_post", true},
        {method, "vis.activation", "gelu"},
        {method, "vis.pos_resize", "bicubic", {}, /*idle=*/true},  // At the native size.
        {method, "train.split", std::string(method) == "faprompt" ? "test" : "all"},
        {method, "train.no_mask", "zero"},
        {method, "train.image_terms", "on"},
        {method, "train.epochs", 3},
        {method, "train.batch", 4},
        {method, "train.lr", 0.1},
        {method, "train.lr", 0.1, untrained, /*idle=*/true},
        {method, "infer.sigma", 3.0}};
    flips.insert(flips.end(), both.begin(), both.end());
  }
  return flips;
}

std::string name_of(const ::testing::TestParamInfo<Flip>& info) {
  std::string name = fmt::format("{}_{}_{}_{}", info.param.method, info.param.name,
                                 info.param.value.dump(), info.param.idle ? "idle" : "acts");
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return fmt::format("{}_{}", name, info.index);
}

INSTANTIATE_TEST_SUITE_P(Flips, Switches, ::testing::ValuesIn(flips()), name_of);

TEST(SwitchTable, HoldsEverySwitchOfTheTwoMethods) {
  for (const char* method : {"faprompt", "anomalyclip"}) {
    std::set<std::string> tested = {"train.select"};  // It has one value.
    for (const Flip& flip : flips()) {
      if (flip.method == std::string(method)) tested.insert(flip.name);
    }
    for (const SwitchDescription& description : find_method(method).switches) {
      EXPECT_TRUE(tested.contains(description.name)) << method << " " << description.name;
    }
  }
}

}  // namespace
}  // namespace assay
