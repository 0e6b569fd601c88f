#include "core/error.h"
#include "evaluator/anomaly_map.h"
#include "registry/method_registry.h"
#include "registry/methods/anomalyclip.h"
#include "registry/methods/faprompt.h"
#include "tests/support/method_step.h"
#include "tests/support/thread_communicator.h"
#include "tests/support/tiny_method.h"
#include "trainer/resident_images.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace assay {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

class Methods : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    at::manual_seed(7);
  }
};

at::Tensor parameter(const Method& method, const std::string& name) {
  const auto found = std::ranges::find(method.parameters(), name, &NamedTensors::value_type::first);
  return found == method.parameters().end() ? at::Tensor() : found->second;
}

// spec/ablations.md 2.1: checkpoint, scores, maps.
TEST_F(Methods, FaPromptsBaseIsAnomalyClipBitForBit) {
  const ResidentImages auxiliary(random_batch(13));
  const Batch target = random_batch(3);
  std::vector<std::unique_ptr<Method>> methods;
  methods.push_back(tiny_method("anomalyclip:released"));
  methods.push_back(tiny_method("faprompt:paper", {{"row", "base"}}));
  methods.push_back(tiny_method("faprompt:released", {{"row", "base"}}));
  TrainOptions options;
  options.epochs = 5;
  options.seed = 4;
  std::vector<TrainResult> trained;
  std::vector<Prediction> predictions;
  for (const auto& method : methods) {
    run_on_threads(/*world_size=*/1, [&](Communicator& comm) {
      trained.push_back(train(*method, auxiliary, options, comm));
    });
    method->prepare_inference();
    predictions.push_back(method->predict(target));
  }

  const auto sigma = [](const char* name, const std::map<std::string, Json>& overrides) {
    return resolve_method(name, overrides, find_backbone("assay-tiny"), 128)
        .switches.at("infer.sigma")
        .get<double>();
  };
  const AnomalyMapOperator maps(16, 128, sigma("anomalyclip:released", {}), 128);
  const AnomalyMapOperator maps_of_base(16, 128, sigma("faprompt", {{"row", "base"}}), 128);
  for (const std::size_t base : {1, 2}) {
    EXPECT_EQ(trained[base].epoch_losses, trained[0].epoch_losses);
    ASSERT_EQ(methods[base]->parameters().size(), methods[0]->parameters().size());
    for (std::size_t i = 0; i < methods[0]->parameters().size(); ++i) {
      const auto& [name, value] = methods[0]->parameters()[i];
      EXPECT_EQ(methods[base]->parameters()[i].first, name);
      EXPECT_TRUE(at::equal(methods[base]->parameters()[i].second, value)) << name;
    }
    EXPECT_TRUE(at::equal(predictions[base].image_score, predictions[0].image_score));
    EXPECT_TRUE(at::equal(maps_of_base(predictions[base].map_grid), maps(predictions[0].map_grid)));
  }
  EXPECT_NE(trained[0].epoch_losses.front(), trained[0].epoch_losses.back());
}

struct Variant {
  const char* name;
  std::map<std::string, Json> overrides;
  std::int64_t streams = 1, layers = 1;
};

class MethodVariants : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    at::manual_seed(8);
  }
};

void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  const double scale = std::max(expected.abs().max().item<double>(), 1e-12);
  EXPECT_LE((actual - expected).abs().max().item<double>(), tolerance * scale);
}

TEST_P(MethodVariants, SumsOverShardsAreThoseOfTheBatch) {
  const auto method = tiny_method(GetParam().name, GetParam().overrides);
  const Batch batch = random_batch(5, GetParam().streams, GetParam().layers);

  const MethodStep whole = method_step(*method, {batch});
  const MethodStep in_shards = method_step(*method, split(batch, 2));

  EXPECT_EQ(whole.totals.numel(), std::ssize(method->term_names()));
  EXPECT_TRUE(whole.totals.isfinite().all().item<bool>());
  expect_close(in_shards.totals, whole.totals, 1e-6);
  EXPECT_NEAR(in_shards.loss, whole.loss, 1e-6 * std::abs(whole.loss));
  for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
    ASSERT_TRUE(whole.gradients[i].defined()) << method->parameters()[i].first;
    expect_close(in_shards.gradients[i], whole.gradients[i], 2e-3);
  }
}

TEST_P(MethodVariants, PredictTheSameForEveryCutOfABatch) {
  const auto method = tiny_method(GetParam().name, GetParam().overrides);
  const Batch batch = random_batch(4, GetParam().streams, GetParam().layers);
  method->prepare_inference();
  const Prediction whole = method->predict(batch);
  for (std::int64_t image = 0; image < 4; ++image) {
    const Prediction alone = method->predict(narrow(batch, image, 1));
    expect_close(alone.image_score, whole.image_score.narrow(0, image, 1), 1e-5);
    expect_close(alone.map_grid, whole.map_grid.narrow(0, image, 1), 1e-5);
  }
  EXPECT_FALSE(whole.map_grid.requires_grad());
}

TEST_P(MethodVariants, LoseImageTermsWhereTheListHasOneLabel) {
  const auto method = tiny_method(GetParam().name, GetParam().overrides);
  Batch batch = random_batch(3, GetParam().streams, GetParam().layers);
  batch.has_image_terms = false;
  const MethodStep step = method_step(*method, {batch});
  for (std::size_t i = 0; i < method->term_names().size(); ++i) {
    const std::string& name = method->term_names()[i];
    if (name == "images" || name == "cross_entropy" || name == "image_focal" || name == "prior") {
      EXPECT_EQ(step.totals[static_cast<std::int64_t>(i)].item<double>(), 0) << name;
    }
  }
  EXPECT_TRUE(std::isfinite(step.loss));
}

TEST_P(MethodVariants, TakePixelTermsFromTheImagesThatHaveThem) {
  const auto method = tiny_method(GetParam().name, GetParam().overrides);
  Batch batch = random_batch(4, GetParam().streams, GetParam().layers);
  const Batch first_two = narrow(batch, 0, 2);
  batch.has_pixel_term = at::tensor({1, 1, 0, 0}).to(at::kBool);
  const at::Tensor some = method_step(*method, {batch}).totals;
  const at::Tensor two = method_step(*method, {first_two}).totals;
  for (std::size_t i = 0; i < method->term_names().size(); ++i) {
    const std::string& name = method->term_names()[i];
    if (!name.starts_with("dice") && !name.starts_with("focal") && name != "pixel_images") continue;
    const auto at = static_cast<std::int64_t>(i);
    EXPECT_NEAR(some[at].item<double>(), two[at].item<double>(), 1e-6) << name;
  }
}

TEST_P(MethodVariants, HaveAFiniteLossWithoutAnyTerm) {
  const auto method = tiny_method(GetParam().name, GetParam().overrides);
  Batch batch = random_batch(2, GetParam().streams, GetParam().layers);
  batch.has_pixel_term = at::zeros({2}, at::kBool);
  batch.masks = at::Tensor();
  batch.has_image_terms = false;
  EXPECT_TRUE(std::isfinite(method_step(*method, {batch}).loss));
}

INSTANTIATE_TEST_SUITE_P(
    Rows,
    MethodVariants,
    ::testing::Values(
        Variant{"faprompt:paper", {}},
        Variant{"faprompt:released", {}},
        Variant{"faprompt:paper", {{"K", 1}, {"E", 2}, {"E2", 1}}},
        Variant{"faprompt:paper", {{"dap.enabled", false}}},
        Variant{"faprompt:paper", {{"cap.compound", "separate"}, {"unit_tokens", false}}},
        Variant{"faprompt:paper", {{"deep_mode", "concat"}, {"deep_depth", 4}}},
        Variant{"anomalyclip:released", {}},
        Variant{"anomalyclip:paper",
                {{"vis.attention", {"kk", "qq", "vv"}}},
                /*streams=*/3,
                /*layers=*/4},
        Variant{"anomalyclip:released", {{"object_train", "cls"}, {"object_test", "cls"}}},
        Variant{"anomalyclip:released", {{"shared", true}, {"deep_depth", 1}}}));

TEST_F(Methods, DrawInitialValuesFromSeedAndNameAlone) {
  const auto ten = tiny_method("faprompt"), five = tiny_method("faprompt", {{"K", 5}});
  EXPECT_TRUE(at::equal(parameter(*ten, "ctx_pos"), parameter(*five, "ctx_pos")));
  const auto other = tiny_method("faprompt", {}, /*seed=*/2);
  EXPECT_FALSE(at::equal(parameter(*ten, "ctx_pos"), parameter(*other, "ctx_pos")));
  // spec/methods-seeds.md 3.2.
  EXPECT_NEAR(parameter(*ten, "ctx_neg").std().item<double>(), 0.02, 1e-3);
  const at::Tensor linear = parameter(*ten, "patch_meta_net.linear1.weight");
  EXPECT_EQ(linear.sizes(), (at::IntArrayRef{40, 640}));
  const double bound = 1 / std::sqrt(640.0);
  EXPECT_LE(linear.abs().max().item<double>(), bound);
  EXPECT_NEAR(linear.std().item<double>(), bound / std::sqrt(3.0), 0.01 * bound);
}

TEST_F(Methods, HaveTheParametersOfTheirSwitches) {
  const auto names = [](const Method& method) {
    std::vector<std::string> all;
    for (const auto& [name, value] : method.parameters()) all.push_back(name);
    return all;
  };
  EXPECT_EQ(
      names(*tiny_method("faprompt")),
      (std::vector<std::string>{"ctx_pos", "ctx_neg", "compound_prompts_text.0",
                                "compound_prompts_text.1", "compound_prompts_text.2",
                                "patch_meta_net.linear1.weight", "patch_meta_net.linear1.bias",
                                "patch_meta_net.linear2.weight", "patch_meta_net.linear2.bias"}));
  EXPECT_EQ(names(*tiny_method("anomalyclip", {{"shared", true}, {"deep_depth", 1}})),
            std::vector<std::string>{"ctx_pos"});
  EXPECT_TRUE(names(*tiny_method("clip")).empty());
}

TEST_F(Methods, LearnAsManyNumbersAsTheCatalogueCounts) {
  for (const char* name : {"faprompt:paper", "faprompt:released_v0", "anomalyclip:released"}) {
    for (const AblationRow& row :
         find_method(std::string(name).substr(0, std::string(name).find(':'))).rows) {
      const ResolvedMethod resolved =
          resolve_method(name, {{"row", row.name}}, find_backbone("assay-tiny"), 128);
      const auto method = make_method({tiny_clip(), clip_tokenizer(), resolved}, /*seed=*/0);
      std::int64_t numbers = 0;
      for (const auto& [parameter_name, value] : method->parameters()) numbers += value.numel();
      EXPECT_EQ(resolved.parameters.trained, numbers) << name << " " << row.name;
    }
  }
}

TEST_F(Methods, ChooseEquallyAbnormalPatchesInRasterOrder) {
  const auto method = tiny_method("faprompt", {{"M", 4}});
  Batch batch = random_batch(1);
  batch.patch_features = batch.patch_features.narrow(3, 0, 1).expand({-1, -1, -1, 256, -1}).clone();
  const auto& faprompt = dynamic_cast<const FaPrompt&>(*method);
  EXPECT_TRUE(at::equal(faprompt.forward(method->shared_terms(), batch).selected,
                        at::arange(4).unsqueeze(0)));
}

TEST_F(Methods, GiveEveryImageThePromptOfItsCategory) {
  const auto method = tiny_method("anomalyclip", {{"object_test", "cls"}});
  method->prepare_inference();
  Batch batch = random_batch(2, 1, 4);
  batch.category_words = {"metal_nut", "carpet"};
  const Prediction nut_and_carpet = method->predict(batch);
  batch.category_words = {"metal nut", "metal nut"};
  const Prediction nuts = method->predict(batch);
  EXPECT_EQ(nut_and_carpet.image_score[0].item<float>(), nuts.image_score[0].item<float>());
  EXPECT_NE(nut_and_carpet.image_score[1].item<float>(), nuts.image_score[1].item<float>());
}

TEST_F(Methods, PredictWithThePresentParametersOncePrepared) {
  const auto method = tiny_method("faprompt"), other = tiny_method("faprompt", {}, /*seed=*/2);
  const Batch batch = random_batch(2);
  other->prepare_inference();
  const at::Tensor expected = other->predict(batch).image_score;
  TensorMap values(other->parameters().begin(), other->parameters().end());
  load_parameters(*method, values);
  method->prepare_inference();
  EXPECT_TRUE(at::equal(method->predict(batch).image_score, expected));
}

// spec/ablations.md 5.2: the texts before normalisation.
TEST_F(Methods, AnEnsembleJudgesByTheMeanOfItsMembersTexts) {
  for (const char* object : {"object", "cls"}) {
    std::vector<std::unique_ptr<Method>> members;
    std::vector<TextPair> texts;
    Batch batch = random_batch(2, 1, 4);
    batch.category_words = {"metal nut", "carpet"};
    for (const std::uint64_t seed : {1, 2, 3}) {
      members.push_back(tiny_method("anomalyclip", {{"object_test", object}}, seed));
      members.back()->prepare_inference();
      texts.push_back(dynamic_cast<const AnomalyClip&>(*members.back()).test_texts(batch));
    }
    Method& ensemble = *members[0];
    ensemble.average_texts(members);
    const TextPair mean = dynamic_cast<const AnomalyClip&>(ensemble).test_texts(batch);
    EXPECT_TRUE(
        at::allclose(mean.normal, (texts[0].normal + texts[1].normal + texts[2].normal) / 3, 1e-6));
    EXPECT_TRUE(at::allclose(
        mean.abnormal, (texts[0].abnormal + texts[1].abnormal + texts[2].abnormal) / 3, 1e-6));
    EXPECT_TRUE(ensemble.predict(batch).image_score.isfinite().all().item<bool>());
  }
  const auto faprompt = tiny_method("faprompt");
  EXPECT_FALSE(find_method("faprompt").two_texts);
  EXPECT_THAT([&] { faprompt->average_texts({}); },
              ::testing::ThrowsMessage<ConfigError>(HasSubstr("does not judge by two texts")));
}

std::string loading_error(const Method& method, const TensorMap& values) {
  try {
    load_parameters(method, values);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST_F(Methods, RefuseParametersThatDoNotFit) {
  const auto method = tiny_method("faprompt");
  const TensorMap good(method->parameters().begin(), method->parameters().end());
  TensorMap values = good;
  values.erase("ctx_neg");
  EXPECT_EQ(loading_error(*method, values),
            "parameter 'ctx_neg' is missing, expected shape [1, 10, 2, 64]");
  values = good;
  values["ctx_neg"] = at::zeros({1, 5, 2, 64});
  EXPECT_EQ(loading_error(*method, values),
            "parameter 'ctx_neg' has shape [1, 5, 2, 64], expected [1, 10, 2, 64]");
  values = good;
  values["ctx"] = at::zeros({1});
  EXPECT_EQ(loading_error(*method, values), "parameter 'ctx' is not one of the method's");
  EXPECT_EQ(loading_error(*method, good), "");
}

TEST_F(Methods, AreNamedInTheErrorOfAnUnknownOne) {
  MethodRegistry methods;
  methods.add("faprompt", make_faprompt);
  const ResolvedMethod resolved{.method = "clip", .preset = "paper"};
  try {
    static_cast<void>(methods.make({tiny_clip(), clip_tokenizer(), resolved}, 0));
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "'clip' is not a method; known: faprompt");
  }
}

TEST_F(Methods, RefusePromptsThatAreTooLong) {
  try {
    static_cast<void>(
        tiny_method("faprompt", {{"E", 71}, {"suffix_word", "damaged"}})->shared_terms());
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("expected at most 77, the context of the text tower"));
  }
}

TEST(FaPrompt, RunsNoPass2WhereNoLossReadsIt) {
  const auto method = tiny_method(
      "faprompt:paper",
      {{"loss.local_weights", {1.0, 0.0}}, {"loss.ce_weight", 0.0}, {"loss.focal_weight", 0.0}});
  const Batch batch = random_batch(2);
  std::vector<at::Tensor> shared;
  for (const at::Tensor& term : method->shared_terms()) {
    shared.push_back(term.detach().requires_grad_(true));
  }
  const auto& faprompt = dynamic_cast<const FaPrompt&>(*method);
  const FaPrompt::Forward whole = faprompt.forward(shared, batch);
  const at::Tensor terms = method->terms(shared, batch);
  const double prior =
      (whole.prior.to(at::kDouble).square().sum(1) * batch.labels.eq(0)).sum().item<double>();
  EXPECT_EQ(terms[-1].item<double>(), prior);  // The last of the terms is the prior's.
  const auto gradients = torch::autograd::grad({terms.sum()}, shared, {}, std::nullopt,
                                               /*create_graph=*/false, /*allow_unused=*/true);
  EXPECT_TRUE(gradients[0].defined() && gradients[1].defined());
  for (std::size_t i = 2; i < gradients.size(); ++i) EXPECT_FALSE(gradients[i].defined());
}

}  // namespace
}  // namespace assay
