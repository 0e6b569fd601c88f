// The literal form of the methods against the one that studies run: the same numbers.

#include "evaluator/anomaly_map.h"
#include "registry/losses.h"
#include "tests/support/method_step.h"
#include "tests/support/thread_communicator.h"
#include "tests/support/tiny_method.h"
#include "trainer/literal_training.h"
#include "trainer/resident_images.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

struct Variant {
  const char* name;
  std::map<std::string, nlohmann::json> overrides;
  std::int64_t streams = 1, layers = 1;
};

std::string name_of(const ::testing::TestParamInfo<Variant>& info) {
  return std::to_string(info.index);
}

void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  const double scale = std::max(expected.abs().max().item<double>(), 1e-12);
  EXPECT_LE((actual - expected).abs().max().item<double>(), tolerance * scale);
}

class LiteralForm : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    at::manual_seed(9);
  }
  [[nodiscard]] std::unique_ptr<Method> method(bool literal) const {
    return tiny_method(GetParam().name, GetParam().overrides, /*seed=*/1, literal);
  }
  [[nodiscard]] Batch batch(std::int64_t images) const {
    return random_batch(images, GetParam().streams, GetParam().layers);
  }
};

TEST_P(LiteralForm, HasTheLossAndTheGradientsOfTheCachedOne) {
  const Batch images = batch(3);
  const auto cached = method(false), literal = method(true);
  const MethodStep expected = method_step(*cached, {images});
  const MethodStep actual = method_step(*literal, {images});

  EXPECT_NEAR(actual.loss, expected.loss, 1e-5 * std::abs(expected.loss));
  expect_close(actual.totals, expected.totals, 1e-5);
  ASSERT_EQ(actual.gradients.size(), expected.gradients.size());
  for (std::size_t i = 0; i < actual.gradients.size(); ++i) {
    expect_close(actual.gradients[i], expected.gradients[i], 5e-3);
  }
}

TEST_P(LiteralForm, HasTheScoresAndMapsOfTheCachedOne) {
  const Batch images = batch(2);
  const auto cached = method(false), literal = method(true);
  cached->prepare_inference();
  literal->prepare_inference();
  const Prediction expected = cached->predict(images), actual = literal->predict(images);

  expect_close(actual.image_score, expected.image_score, 1e-5);
  const AnomalyMapOperator raw(16, 128, /*sigma=*/0, 128);
  expect_close(actual.map_grid, raw(expected.map_grid), 1e-5);
}

TEST_P(LiteralForm, TrainsToTheParametersOfTheCachedOne) {
  const ResidentImages images(batch(4));
  const auto cached = method(false), literal = method(true);
  TrainOptions options;
  options.epochs = 3;
  options.batch_size = 4;
  SingleCommunicator alone;
  const TrainResult trained = train(*cached, images, options, alone);

  LiteralTraining training(*literal, {});
  std::vector<double> losses;
  for (int step = 0; step < 3; ++step) {
    losses.push_back(training.step(images.load(std::vector<std::int64_t>{0, 1, 2, 3})));
  }
  for (std::size_t step = 0; step < losses.size(); ++step) {
    EXPECT_NEAR(losses[step], trained.epoch_losses[step], 1e-3 * std::abs(losses[step]));
  }
  EXPECT_NE(losses.front(), losses.back());
}

INSTANTIATE_TEST_SUITE_P(
    Rows,
    LiteralForm,
    ::testing::Values(Variant{"faprompt:released", {}},
                      Variant{"faprompt:paper", {{"cap.compound", "separate"}}},
                      Variant{"faprompt:paper", {{"dap.enabled", false}}},
                      Variant{"faprompt:paper", {{"deep_mode", "concat"}, {"deep_depth", 4}}},
                      Variant{"anomalyclip:released", {}},
                      Variant{"anomalyclip:paper",
                              {{"vis.attention", {"kk", "qq", "vv"}}},
                              /*streams=*/3,
                              /*layers=*/4},
                      Variant{"anomalyclip:released",
                              {{"object_train", "cls"}, {"object_test", "cls"}}},
                      Variant{"anomalyclip:released", {{"loss.dice", false}}}),
    name_of);

TEST(LiteralClip, HasTheScoresAndMapsOfTheCachedOne) {
  at::manual_seed(9);
  const Batch images = random_batch(2);
  const auto cached = tiny_method("clip"), literal = tiny_method("clip", {}, 1, /*literal=*/true);
  const Prediction expected = cached->predict(images), actual = literal->predict(images);
  EXPECT_TRUE(at::equal(actual.image_score, expected.image_score));
  expect_close(actual.map_grid, AnomalyMapOperator(16, 128, 0, 128)(expected.map_grid), 1e-5);
}

TEST(LiteralTerms, LeaveOutImagesWithoutAPixelTerm) {
  at::manual_seed(9);
  const at::Tensor probability = at::rand({3, 256});
  const at::Tensor masks = at::rand({3, 64, 64}).lt(0.1).to(at::kByte);
  const at::Tensor counted = at::tensor({1, 0, 1}).to(at::kBool);
  expect_close(local_terms(probability, masks, counted, {.literal = true}),
               local_terms(probability, masks, counted), 1e-6);
  expect_close(local_terms(probability, {}, counted, {.literal = true}),
               local_terms(probability, {}, counted), 1e-6);
}

}  // namespace
}  // namespace assay
