// Methods on another device than the CPU. LibTorch's device `meta` has shapes and no values:
// whoever reads a value or takes a pointer fails, and so does, by the check below, who makes a
// tensor on the default device and mixes it in. What holds there holds on a GPU, but for the
// numbers.

#include "registry/method.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_method.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>

#include <set>

namespace assay {
namespace {

constexpr auto kCheck = c10::DispatchKey::TESTING_ONLY_GenericMode;

// Every operation's tensors are on one device; a single number on the CPU may go with any.
void check_devices(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  std::set<std::string> devices;
  const auto look_at = [&](const at::Tensor& tensor) {
    if (tensor.defined() && (tensor.dim() > 0 || !tensor.is_cpu())) {
      devices.insert(tensor.device().str());
    }
  };
  for (const c10::IValue& argument :
       torch::jit::last(*stack, operation.schema().arguments().size())) {
    if (argument.isTensor()) look_at(argument.toTensor());
    if (argument.isTensorList()) {
      for (const at::Tensor& tensor : argument.toTensorVector()) look_at(tensor);
    }
  }
  if (operation.schema().name() != "aten::copy_") {
    EXPECT_LE(devices.size(), 1U) << operation.schema();
  }
  const c10::impl::ExcludeDispatchKeyGuard beyond(kCheck);
  operation.callBoxed(stack);
}

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&check_devices>());
}

// Operations for which LibTorch has no shapes on `meta`: those of a run on zeros.
void shapes_of_zeros(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const auto& arguments = operation.schema().arguments();
  const std::size_t first = stack->size() - arguments.size();
  at::Tensor written;  // The last one of an `out` form.
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    c10::IValue& value = (*stack)[first + i];
    if (!value.isTensor() || !value.toTensor().defined()) continue;
    if (arguments[i].is_out()) written = value.toTensor();
    value = at::zeros_like(value.toTensor(), at::kCPU);
  }
  operation.callBoxed(stack);
  const std::size_t results = operation.schema().returns().size();
  for (std::size_t i = stack->size() - results; i < stack->size(); ++i) {
    if (!(*stack)[i].isTensor() || !(*stack)[i].toTensor().defined()) continue;
    const at::Tensor result = (*stack)[i].toTensor();
    if (written.defined()) written.resize_(result.sizes());
    (*stack)[i] = written.defined() ? written : result.to(at::kMeta);
  }
}

TORCH_LIBRARY_IMPL(aten, Meta, library) {
  for (const char* name : {"abs.out", "convolution", "index_select", "log_sigmoid_backward",
                           "log_sigmoid_forward", "native_batch_norm", "native_layer_norm_backward",
                           "relu", "where.self", "where.self_out"}) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&shapes_of_zeros>());
  }
}

void expect_alike(const at::Tensor& on_device, const at::Tensor& on_cpu, const std::string& what) {
  EXPECT_TRUE(on_device.is_meta()) << what;
  EXPECT_EQ(on_device.sizes(), on_cpu.sizes()) << what;
  EXPECT_EQ(on_device.scalar_type(), on_cpu.scalar_type()) << what;
}

struct Case {
  std::string method;
  std::map<std::string, nlohmann::json> overrides;
  std::int64_t layers = 1;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"clip:paper", {}},
      {"anomalyclip:paper", {}, 4},
      {"anomalyclip:released", {}},
      {"anomalyclip:released", {{"prompt.object_train", "cls"}, {"prompt.object_test", "cls"}}},
      {"anomalyclip:released", {{"text.deep_mode", "concat"}}},
      {"faprompt:paper", {}},
      {"faprompt:released", {}},
      {"faprompt:paper", {{"dap.enabled", false}}}};
  return all;
}

std::unique_ptr<Method> method_on(const Clip& clip, const Case& of) {
  const ResolvedMethod resolved =
      resolve_method(of.method, of.overrides, find_backbone("assay-tiny"), 128);
  return make_method({clip, clip_tokenizer(), resolved}, /*seed=*/1);
}

// The terms of a batch and their gradients, the prediction.
struct Outcome {
  std::vector<at::Tensor> shared;
  at::Tensor terms;
  std::vector<at::Tensor> gradients;
  Prediction prediction;
};

Outcome outcome_of(Method& method, const Batch& batch) {
  Outcome outcome;
  if (!method.parameters().empty()) {
    outcome.shared = method.shared_terms();
    outcome.terms = method.terms(outcome.shared, batch);
    std::vector<at::Tensor> parameters;
    for (const auto& [name, parameter] : method.parameters()) parameters.push_back(parameter);
    outcome.gradients = torch::autograd::grad({outcome.terms}, parameters,
                                              {at::ones_like(outcome.terms)}, std::nullopt, false,
                                              /*allow_unused=*/true);
  }
  method.prepare_inference();
  outcome.prediction = method.predict(batch);
  return outcome;
}

class OnAnotherDevice : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(OnAnotherDevice, MethodsComputeWithoutALookAtValuesAndMixNoDevices) {
  at::set_num_threads(1);
  Clip clip = tiny_clip(), on_cpu = tiny_clip();
  clip.move_to(at::kMeta, GetParam());
  on_cpu.move_to(at::kCPU, GetParam());
  for (const Case& of : cases()) {
    SCOPED_TRACE(of.method + nlohmann::json(of.overrides).dump());
    const Batch batch = random_batch(3, 1, of.layers);
    const auto expected = outcome_of(*method_on(on_cpu, of), batch);
    const Batch moved = batch.to(at::kMeta);
    const c10::impl::IncludeDispatchKeyGuard checking(kCheck);
    const auto actual = outcome_of(*method_on(clip, of), moved);
    ASSERT_EQ(actual.shared.size(), expected.shared.size());
    for (std::size_t i = 0; i < actual.shared.size(); ++i) {
      expect_alike(actual.shared[i], expected.shared[i], "shared term " + std::to_string(i));
    }
    if (expected.terms.defined()) expect_alike(actual.terms, expected.terms, "terms");
    for (std::size_t i = 0; i < actual.gradients.size(); ++i) {
      ASSERT_EQ(actual.gradients[i].defined(), expected.gradients[i].defined());
      if (!actual.gradients[i].defined()) continue;
      expect_alike(actual.gradients[i], expected.gradients[i], "gradient " + std::to_string(i));
    }
    expect_alike(actual.prediction.image_score, expected.prediction.image_score, "image score");
    expect_alike(actual.prediction.map_grid, expected.prediction.map_grid, "map");
  }
}

TEST_P(OnAnotherDevice, ImagesAreEncoded) {
  at::set_num_threads(1);
  Clip clip = tiny_clip(), on_cpu = tiny_clip();
  clip.move_to(at::kMeta, GetParam());
  on_cpu.move_to(at::kCPU, GetParam());
  const at::Tensor images = at::rand({2, 3, 128, 128});
  const FeatureSpec spec{.backbone = "assay-tiny",
                         .image_size = 128,
                         .streams = {"qk", "vv"},
                         .first_block = 3,
                         .layers = {4, 8}};
  const VisualFeatures expected = on_cpu.encode_images(images, spec);
  const at::Tensor moved = images.to(at::kMeta);
  const c10::impl::IncludeDispatchKeyGuard checking(kCheck);
  const VisualFeatures actual = clip.encode_images(moved, spec);
  expect_alike(actual.global, expected.global, "global");
  for (const auto& [stream, rows] : expected.patch)
    expect_alike(actual.patch.at(stream), rows, stream);
}

INSTANTIATE_TEST_SUITE_P(Precisions,
                         OnAnotherDevice,
                         ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& of) { return std::string(c10::toString(of.param)); });

TEST(DeviceCheck, SeesATensorOfTheDefaultDevice) {
  const at::Tensor on_meta = at::empty({3}, at::kMeta), on_cpu = at::zeros({3});
  EXPECT_NONFATAL_FAILURE(
      {
        const c10::impl::IncludeDispatchKeyGuard checking(kCheck);
        try {
          (void)at::add(on_meta, on_cpu);
        } catch (const c10::Error&) {
          // LibTorch notices some of them itself.
        }
      },
      "aten::add");
}

double relative_difference(const at::Tensor& actual, const at::Tensor& expected) {
  return ((actual - expected).norm() / expected.norm()).item<double>();
}

TEST(Bfloat16Products, ChangeFeaturesAndTermsALittle) {
  at::set_num_threads(1);
  at::manual_seed(3);
  Clip coarse = tiny_clip();
  coarse.move_to(at::kCPU, at::kBFloat16);
  const FeatureSpec spec{.backbone = "assay-tiny",
                         .image_size = 128,
                         .streams = {"vv"},
                         .first_block = 3,
                         .layers = {8}};
  const at::Tensor images = at::rand({2, 3, 128, 128});
  const at::Tensor exact = tiny_clip().encode_images(images, spec).patch.at("vv");
  const double of_features =
      relative_difference(coarse.encode_images(images, spec).patch.at("vv"), exact);
  EXPECT_GT(of_features, 1e-5);
  EXPECT_LT(of_features, 2e-2);

  const Batch batch = random_batch(4);
  for (const char* name : {"faprompt:paper", "anomalyclip:released"}) {
    const auto fine = outcome_of(*method_on(tiny_clip(), {name, {}}), batch);
    const auto rounded = outcome_of(*method_on(coarse, {name, {}}), batch);
    const double of_terms = relative_difference(rounded.terms, fine.terms);
    EXPECT_GT(of_terms, 0) << name;
    EXPECT_LT(of_terms, 2e-2) << name;
    EXPECT_EQ(rounded.gradients[0].scalar_type(), at::kFloat);
  }
}

}  // namespace
}  // namespace assay
