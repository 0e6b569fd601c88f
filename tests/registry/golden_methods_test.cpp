#include "evaluator/anomaly_map.h"
#include "registry/losses.h"
#include "registry/method_registry.h"
#include "registry/methods/anomalyclip.h"
#include "registry/methods/clip.h"
#include "registry/methods/faprompt.h"
#include "tests/support/golden.h"
#include "tests/support/method_step.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>

namespace assay {
namespace {

using Json = nlohmann::json;

const Tokenizer& tokenizer() {
  static const Tokenizer instance(std::filesystem::path(ASSAY_SOURCE_DIR) /
                                  ".deps/clip/bpe_simple_vocab_16e6.txt.gz");
  return instance;
}

BackboneDescription backbone_of(const GoldenFile& file) {
  return {.name = "golden",
          .vision_layers = file.size("vision_layers"),
          .vision_width = file.size("vision_width"),
          .patch = file.size("patch"),
          .native_grid = file.size("native_grid"),
          .text_layers = file.size("text_layers"),
          .text_width = file.size("text_width"),
          .joint = file.size("joint"),
          .default_image_size = file.size("image_size"),
          .taps = {},
          .first_vv_block = 6,
          .weights_file = "",
          .weights_sha256 = "",
          .embedded = false};
}

// All switches where the file names them, else the release's with the sizes of `config`.
ResolvedMethod resolved_of(const GoldenFile& file) {
  std::map<std::string, Json> overrides;
  if (!file.switches.is_null()) {
    for (const auto& [name, value] : file.switches.items()) overrides[name] = value;
  } else {
    const std::map<std::string, std::string> switch_of = {
        {"K", "cap.K"},       {"M", "dap.M"},
        {"E2", "cap.Ep"},     {"E", file.kind == "faprompt" ? "cap.E" : "prompt.E"},
        {"lambda", "lambda"}, {"deep_tokens", "text.deep_len"},
        {"sigma", "sigma"},   {"depth", "text.deep_depth"},
        {"layers", "layers"}};
    for (const auto& [key, value] : file.config.items()) {
      const auto name = switch_of.find(key);
      if (name != switch_of.end()) overrides[name->second] = value;
    }
    if (file.kind == "clip") overrides["layers"] = file.config["layers"].back();
  }
  return resolve_method(file.kind + ":released", overrides, backbone_of(file),
                        file.size("image_size"));
}

Batch batch_of(const GoldenFile& file, const Clip& clip, const FeatureSpec& spec) {
  const std::int64_t images = file.size("batch"), size = file.size("image_size");
  const VisualFeatures features =
      clip.encode_images(normalise_images(golden_image_bytes(file.case_name, images, size)), spec);
  std::vector<at::Tensor> streams;
  for (const std::string& name : spec.streams) {
    const at::Tensor& rows = features.patch.at(name);  // [L, B, 1 + N, J]
    streams.push_back(rows.narrow(2, 1, rows.size(2) - 1).transpose(0, 1));
  }
  const at::Tensor patches = at::stack(streams, 1);  // [B, E, L, N, J]
  Batch batch;
  batch.patch_norms = patches.norm(2, -1);
  batch.patch_features = patches / batch.patch_norms.unsqueeze(-1);
  batch.global = features.global;
  if (file.has("input.label")) batch.labels = file.tensor("input.label");
  if (file.has("input.mask")) batch.masks = file.tensor("input.mask");
  batch.has_pixel_term = at::ones({images}, at::kBool);
  if (file.config.contains("classes")) {
    for (const std::size_t index : file.config["class_of_image"]) {
      batch.category_words.push_back(file.config["classes"][index]);
    }
  }
  return batch;
}

void load_prompts(const GoldenFile& file, const Method& method) {
  TensorMap values;
  for (const auto& [name, parameter] : method.parameters()) {
    double factor = 0.3;  // Deep prompts.
    if (name.starts_with("ctx_")) factor = 4;
    if (name.ends_with("bias")) factor = 0.05;
    if (name.ends_with("weight")) factor = std::sqrt(3 / static_cast<double>(parameter.size(1)));
    values[name] = golden_prompt(file.case_name, name, parameter.sizes(), factor);
  }
  load_parameters(method, values);
}

// Files may hold every `row_stride`-th row of a large parameter only.
at::Tensor stored_rows(const GoldenFile& file, const at::Tensor& value) {
  if (!file.config.contains("row_stride") || value.numel() <= file.size("row_limit")) return value;
  return value.slice(0, 0, value.size(0), file.size("row_stride"));
}

at::Tensor one(const at::Tensor& value) { return value.reshape({1}); }

// A golden tensor of one number, where the file has it.
void expect_loss(const GoldenFile& file, const std::string& name, const at::Tensor& value) {
  if (file.has("loss." + name)) expect_golden(file, "loss." + name, one(value), kForwardTolerance);
}

void expect_predictions(const GoldenFile& file, const Prediction& prediction, double sigma) {
  expect_golden(file, "score", prediction.image_score, kForwardTolerance);
  const std::int64_t size = file.size("image_size"), grid = size / file.size("patch");
  if (file.has("map.grid")) {
    expect_golden(file, "map.grid", prediction.map_grid, kForwardTolerance);
  }
  if (file.has("map.raw")) {
    const AnomalyMapOperator upsampled(grid, size, /*sigma=*/0, size);
    expect_golden(file, "map.raw", upsampled(prediction.map_grid), kForwardTolerance);
  }
  if (file.has("map.smooth")) {
    const AnomalyMapOperator smoothed(grid, size, sigma, size);
    expect_golden(file, "map.smooth", smoothed(prediction.map_grid), kForwardTolerance);
  }
}

// Gradients at the start, the loss before each Adam step and after the last, parameters after.
template <typename Observe>
void expect_training(const GoldenFile& file,
                     const Method& method,
                     const Batch& batch,
                     const Observe& observe) {
  MethodAdam adam(method);
  std::vector<double> losses;
  for (std::int64_t step = 0; step <= file.size("steps"); ++step) {
    observe(step);
    const MethodStep result = method_step(method, {batch});
    losses.push_back(result.loss);
    if (step == file.size("steps")) break;
    for (std::size_t i = 0; step == 0 && i < method.parameters().size(); ++i) {
      const std::string name = method.parameters()[i].first;
      if (!file.has("grad." + name)) {
        EXPECT_TRUE(!result.gradients[i].defined() ||
                    result.gradients[i].abs().max().item<float>() == 0)
            << name;
        continue;
      }
      ASSERT_TRUE(result.gradients[i].defined()) << name;
      const bool half = name.starts_with("compound") &&
                        (file.switches.is_null() || file.switches["text.deep_fp16"] == "fwd_bwd");
      expect_golden(file, "grad." + name, stored_rows(file, result.gradients[i]),
                    half ? kHalfGradientTolerance : kGradientTolerance);
    }
    adam.step(result.gradients);
  }
  expect_golden(file, "train.losses", at::tensor(losses, at::kDouble), kForwardTolerance);
  for (const auto& [name, parameter] : method.parameters()) {
    if (!file.has("after." + name)) continue;
    const at::Tensor found = stored_rows(file, parameter.detach());
    // Signs of tiny gradients may flip under Adam.
    expect_golden(file, "after." + name, found, 0.1);
    EXPECT_LE(fraction_off(found, file.tensor("after." + name), 1e-3), 0.01) << name;
  }
}

class GoldenFaPrompt : public ::testing::TestWithParam<std::filesystem::path> {};

at::Tensor both_channels(const at::Tensor& map) {  // [B, N] -> [N, B, 2]
  return at::stack({1 - map, map}, 2).transpose(0, 1);
}

void expect_forward(const GoldenFile& file,
                    const FaPrompt& method,
                    const std::vector<at::Tensor>& shared,
                    const Batch& batch) {
  const FaPrompt::Forward out = method.forward(shared, batch);
  expect_golden(file, "text.normal", shared[0], kForwardTolerance);
  expect_golden(file, "text.abnormal", shared[1], kForwardTolerance);
  expect_golden(file, "pass1.scores", both_channels(out.base_map), kForwardTolerance);
  expect_golden(file, "pass1.max", out.base_map.amax(1), kForwardTolerance);
  expect_golden(file, "global.logits", out.image_logits, kForwardTolerance);
  expect_golden(file, "score", out.score, kForwardTolerance);
  ASSERT_EQ(file.has("pass2.scores"), out.refined_map.defined());
  if (!out.refined_map.defined()) return;
  expect_golden(file, "prior.omega", out.prior, kForwardTolerance);
  expect_golden(file, "pass2.text",
                at::stack({out.refined_texts.normal.expand_as(out.refined_texts.abnormal),
                           out.refined_texts.abnormal},
                          1),
                kForwardTolerance);
  expect_golden(file, "pass2.scores", both_channels(out.refined_map), kForwardTolerance);
  expect_golden(file, "pass2.max", out.refined_map.amax(1), kForwardTolerance);
}

void expect_losses(const GoldenFile& file,
                   const FaPrompt& method,
                   const std::vector<at::Tensor>& shared,
                   const Batch& batch,
                   bool ordered_pairs) {
  const at::Tensor totals = method.terms(shared, batch);
  const double images = static_cast<double>(batch.global.size(0));
  for (std::size_t i = 0; i < method.term_names().size(); ++i) {
    const std::string& term = method.term_names()[i];
    const at::Tensor sum = totals[static_cast<std::int64_t>(i)];
    if (term == "focal_base") expect_loss(file, "focal1", sum / images);
    if (term == "dice_abnormal_base") expect_loss(file, "dice1_abnormal", 1 - sum / images);
    if (term == "dice_normal_base") expect_loss(file, "dice1_normal", 1 - sum / images);
    if (term == "focal_refined") expect_loss(file, "focal2", sum / images);
    if (term == "dice_abnormal_refined") expect_loss(file, "dice2_abnormal", 1 - sum / images);
    if (term == "dice_normal_refined") expect_loss(file, "dice2_normal", 1 - sum / images);
    if (term == "cross_entropy") expect_loss(file, "cross_entropy", sum / images);
    if (term == "image_focal") expect_loss(file, "image_focal", sum / images);
    if (term == "prior") expect_loss(file, "prior", sum);
  }
  expect_loss(file, "orthogonal", orthogonality(shared[1], ordered_pairs));
  expect_loss(file, "total", method.loss(totals, shared));
}

// `pass1.topk`: the patches that `dap.select = "topm"` takes. The release stores them and takes the
// first ones; its files are compared with the same model under the other switch.
void expect_top_patches(const GoldenFile& file,
                        const Clip& clip,
                        ResolvedMethod resolved,
                        const Batch& batch) {
  if (!file.has("pass1.topk")) return;
  resolved.switches["dap.select"] = "topm";
  FaPrompt method({clip, tokenizer(), resolved}, /*seed=*/0);
  load_prompts(file, method);
  const auto out = method.forward(method.shared_terms(), batch, /*with_refined=*/false);
  EXPECT_TRUE(at::equal(out.selected, file.tensor("pass1.topk")));
}

TEST_P(GoldenFaPrompt, TensorsEqualTheReference) {
  const GoldenFile file = load_golden(GetParam());
  const Clip clip(golden_clip(file.case_name, golden_sizes(file)));
  const ResolvedMethod resolved = resolved_of(file);
  FaPrompt method({clip, tokenizer(), resolved}, /*seed=*/0);
  load_prompts(file, method);
  const Batch batch = batch_of(file, clip, resolved.features);

  const std::vector<at::Tensor> shared = method.shared_terms();
  expect_forward(file, method, shared, batch);
  expect_top_patches(file, clip, resolved, batch);
  expect_losses(file, method, shared, batch, resolved.switches["loss.oc_pairs"] == "ordered");
  method.prepare_inference();
  expect_predictions(file, method.predict(batch), resolved.switches["infer.sigma"]);

  expect_training(file, method, batch, [&](std::int64_t step) {
    if (resolved.switches["dap.select"] != "topm" || !file.has("train.topk")) return;
    const at::Tensor selected = method.forward(method.shared_terms(), batch).selected;
    EXPECT_TRUE(at::equal(selected, file.tensor("train.topk")[step])) << "step " << step;
  });
}

INSTANTIATE_TEST_SUITE_P(Files,
                         GoldenFaPrompt,
                         ::testing::ValuesIn(golden_files("faprompt")),
                         golden_name);

class GoldenAnomalyClip : public ::testing::TestWithParam<std::filesystem::path> {};

at::Tensor as_pairs(const TextPair& texts) {  // [C, 2, J]
  return at::stack({texts.normal, texts.abnormal}, 1);
}

TEST_P(GoldenAnomalyClip, TensorsEqualTheReference) {
  const GoldenFile file = load_golden(GetParam());
  const Clip clip(golden_clip(file.case_name, golden_sizes(file)));
  const ResolvedMethod resolved = resolved_of(file);
  AnomalyClip method({clip, tokenizer(), resolved}, /*seed=*/0);
  load_prompts(file, method);
  const Batch batch = batch_of(file, clip, resolved.features);
  const double temperature = resolved.switches["text.temperature"];

  method.prepare_inference();
  Batch classes;
  if (file.config.contains("classes")) file.config["classes"].get_to(classes.category_words);
  const TextPair texts = method.test_texts(classes);
  expect_golden(file, "text.raw", as_pairs(texts).view_as(file.tensor("text.raw")),
                kForwardTolerance);
  expect_golden(file, "text.unit", as_pairs(unit(texts)), kForwardTolerance);
  const TextPair of_images = unit(method.test_texts(batch));
  expect_golden(file, "global.logits", image_logits(batch.global, of_images, temperature),
                kForwardTolerance);
  if (file.has("layer.scores")) {
    const at::Tensor scores =
        at::sigmoid(patch_logits(batch.patch_features, of_images, temperature));
    expect_golden(file, "layer.scores", scores.transpose(0, 1), kForwardTolerance);
  }
  expect_predictions(file, method.predict(batch), resolved.switches["infer.sigma"]);

  const std::vector<at::Tensor> shared = method.shared_terms();
  if (file.has("train.text.raw")) {
    const TextPair in_training = method.training_texts(shared, batch);
    expect_golden(file, "train.text.raw", as_pairs(in_training), kForwardTolerance);
    expect_golden(file, "train.global.logits",
                  image_logits(batch.global, unit(in_training), temperature), kForwardTolerance);
  }
  const at::Tensor totals = method.terms(shared, batch);
  const double images = static_cast<double>(batch.global.size(0));
  const double layers = static_cast<double>(resolved.features.layers.size());
  for (std::size_t i = 0; i < method.term_names().size(); ++i) {
    const std::string& term = method.term_names()[i];
    const at::Tensor mean = totals[static_cast<std::int64_t>(i)] / images;
    if (term == "focal") expect_loss(file, "focal", mean);
    if (term.starts_with("dice_")) expect_loss(file, term, layers - mean);
    if (term == "cross_entropy") expect_loss(file, term, mean);
  }
  expect_loss(file, "total", method.loss(totals, shared));

  expect_training(file, method, batch, [](std::int64_t /*step*/) {});
}

INSTANTIATE_TEST_SUITE_P(Files,
                         GoldenAnomalyClip,
                         ::testing::ValuesIn(golden_files("anomalyclip")),
                         golden_name);

class GoldenRawClip : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenRawClip, TensorsEqualTheReference) {
  const GoldenFile file = load_golden(GetParam());
  const Clip clip(golden_clip(file.case_name, golden_sizes(file)));
  const ResolvedMethod resolved = resolved_of(file);
  RawClip method({clip, tokenizer(), resolved});
  const Batch batch = batch_of(file, clip, resolved.features);
  method.prepare_inference();

  WordTexts texts([&](const std::string& word) { return method.encode_category(word); });
  const TextPair of_classes = texts(file.config["classes"]);
  expect_golden(file, "text.raw", as_pairs(of_classes), kForwardTolerance);
  expect_golden(file, "text.unit", as_pairs(unit(of_classes)), kForwardTolerance);
  expect_golden(file, "global.logits",
                image_logits(batch.global, unit(texts(batch.category_words)),
                             resolved.switches["text.temperature"]),
                kForwardTolerance);
  expect_predictions(file, method.predict(batch), resolved.switches["infer.sigma"]);
}

INSTANTIATE_TEST_SUITE_P(Files,
                         GoldenRawClip,
                         ::testing::ValuesIn(golden_files("clip")),
                         golden_name);

}  // namespace
}  // namespace assay
