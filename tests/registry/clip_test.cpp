#include "registry/clip.h"

#include "core/error.h"
#include "tests/support/small_clip.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::int64_t kImageSize = 40;  // A grid of 5 x 5 on a table of 3 x 3.

at::Tensor images() { return normalise_images(golden_image_bytes("small", 2, kImageSize)); }

FeatureSpec spec_of(std::vector<std::string> streams) {
  FeatureSpec spec;
  spec.image_size = kImageSize;
  spec.streams = std::move(streams);
  spec.first_block = 3;
  spec.layers = {1, 3, 5};
  return spec;
}

// The tower as spec/methods-seeds.md 1.4 and spec/ablations.md 1.3 write it, block by block, with
// materialised attention and the side streams' residuals summed one by one.
class TwoStreamLoop {
 public:
  explicit TwoStreamLoop(const Clip& clip) : clip_(clip), weights_(clip.weights()) {}

  // [L, B, 1 + N, J], and the global feature [B, J].
  std::pair<at::Tensor, at::Tensor> run(const FeatureSpec& spec, const std::string& stream) {
    at::Tensor x = patches(spec);
    at::Tensor side;
    std::vector<at::Tensor> taps;
    for (std::int64_t block = 1; block <= clip_.sizes().vision_layers; ++block) {
      prefix_ = fmt::format("visual.transformer.resblocks.{}.", block - 1);
      const at::Tensor u = norm(x, prefix_ + "ln_1");
      const at::Tensor q = part(u, 0), k = part(u, 1), v = part(u, 2);
      if (block >= spec.first_block) {
        const at::Tensor& same = stream == "vv" ? v : stream == "qq" ? q : k;
        side = (side.defined() ? side : x) + out(softmax(same, same), v);
      }
      x = x + out(softmax(q, k), v);
      x = x + mlp(norm(x, prefix_ + "ln_2"), spec.activation);
      const at::Tensor& state = stream == "qk" || !side.defined() ? x : side;
      if (std::ranges::count(spec.layers, block) > 0) taps.push_back(project(state));
    }
    const at::Tensor token = x.select(1, 0);
    return {at::stack(taps),
            spec.cls_ln_post ? project(token) : at::matmul(token, weights_.at("visual.proj"))};
  }

 private:
  const at::Tensor& get(const std::string& name) { return weights_.at(name); }
  at::Tensor norm(const at::Tensor& x, const std::string& name) {
    const at::Tensor centred = x - x.mean(-1, true);
    return centred / (centred.square().mean(-1, true) + 1e-5).sqrt() * get(name + ".weight") +
           get(name + ".bias");
  }
  at::Tensor patches(const FeatureSpec& spec) {
    const std::int64_t patch = clip_.sizes().patch, grid = kImageSize / patch;
    const at::Tensor cut = images()  // [B, 3, S, S] -> [B, N, 3 * patch * patch]
                               .unfold(2, patch, patch)
                               .unfold(3, patch, patch)
                               .permute({0, 2, 3, 1, 4, 5})
                               .reshape({2, grid * grid, -1});
    const at::Tensor rows = at::matmul(cut, get("visual.conv1.weight").flatten(1).t());
    const at::Tensor start = get("visual.class_embedding").expand({2, 1, -1});
    return norm(at::cat({start, rows}, 1) + clip_.vision_positions(grid, spec.pos_resize),
                "visual.ln_pre");
  }
  // Heads of Q, K or V: [B, heads, R, 64].
  at::Tensor part(const at::Tensor& u, std::int64_t index) {
    const std::int64_t width = u.size(2);
    const at::Tensor weight = get(prefix_ + "attn.in_proj_weight").narrow(0, index * width, width);
    const at::Tensor bias = get(prefix_ + "attn.in_proj_bias").narrow(0, index * width, width);
    return (at::matmul(u, weight.t()) + bias)
        .view({u.size(0), u.size(1), width / 64, 64})
        .transpose(1, 2);
  }
  static at::Tensor softmax(const at::Tensor& a, const at::Tensor& b) {
    return at::softmax(at::matmul(a, b.transpose(2, 3)) / 8, -1);
  }
  at::Tensor out(const at::Tensor& attention, const at::Tensor& v) {
    const at::Tensor joined = at::matmul(attention, v).transpose(1, 2).flatten(2);
    return at::matmul(joined, get(prefix_ + "attn.out_proj.weight").t()) +
           get(prefix_ + "attn.out_proj.bias");
  }
  at::Tensor mlp(const at::Tensor& x, const std::string& activation) {
    const at::Tensor hidden =
        at::matmul(x, get(prefix_ + "mlp.c_fc.weight").t()) + get(prefix_ + "mlp.c_fc.bias");
    const at::Tensor active = activation == "gelu"
                                  ? hidden * (1 + at::erf(hidden / std::sqrt(2.0))) / 2
                                  : hidden * at::sigmoid(1.702 * hidden);
    return at::matmul(active, get(prefix_ + "mlp.c_proj.weight").t()) +
           get(prefix_ + "mlp.c_proj.bias");
  }
  at::Tensor project(const at::Tensor& x) {
    return at::matmul(norm(x, "visual.ln_post"), get("visual.proj"));
  }

  const Clip& clip_;
  const TensorMap& weights_;
  std::string prefix_;
};

TEST(EncodeImages, EqualsTheTwoStreamLoopInEveryStream) {
  const Clip clip(small_clip_weights());
  FeatureSpec spec = spec_of({"kk", "qk", "qq", "vv"});
  for (const char* activation : {"quick_gelu", "gelu"}) {
    spec.activation = activation;
    const VisualFeatures features = clip.encode_images(images(), spec, /*with_hidden=*/true);
    EXPECT_EQ(features.hidden.sizes(), at::IntArrayRef({3, 2, 26, 128}));
    for (const std::string& stream : spec.streams) {
      const auto [patch, global] = TwoStreamLoop(clip).run(spec, stream);
      EXPECT_LT(largest_difference(features.patch.at(stream), patch), 2e-6) << stream;
      EXPECT_LT(largest_difference(features.global, global), 2e-6) << stream;
    }
  }
}

// Then the last block computes one row of the plain stream only.
TEST(EncodeImages, WithoutThePlainStreamGivesTheSameFeatures) {
  const Clip clip(small_clip_weights());
  FeatureSpec spec = spec_of({"vv"});
  spec.cls_ln_post = true;
  const VisualFeatures features = clip.encode_images(images(), spec);
  const auto [patch, global] = TwoStreamLoop(clip).run(spec, "vv");
  EXPECT_LT(largest_difference(features.patch.at("vv"), patch), 2e-6);
  EXPECT_LT(largest_difference(features.global, global), 2e-6);
  EXPECT_FALSE(features.hidden.defined());
}

TEST(EncodeImages, RefusesWhatTheBackboneDoesNotHave) {
  const Clip clip(small_clip_weights());
  const auto refusal = [&](const FeatureSpec& spec, const at::Tensor& input) {
    return [&clip, spec, input] { (void)clip.encode_images(input, spec); };
  };
  FeatureSpec spec = spec_of({"vv"});
  spec.layers = {6};
  EXPECT_THAT(refusal(spec, images()),
              ThrowsMessage<std::invalid_argument>(HasSubstr("blocks 1 to 5")));
  EXPECT_THAT(refusal(spec_of({"vw"}), images()),
              ThrowsMessage<std::invalid_argument>(HasSubstr("'vw'")));
  EXPECT_THAT(refusal(spec_of({"vv"}), at::zeros({1, 3, 36, 36})),
              ThrowsMessage<std::invalid_argument>(HasSubstr("a multiple of 8")));
}

// LibTorch chooses: a mask or a layout that the fused kernel does not take would go unnoticed.
TEST(Attention, IsFusedForTheImagesAndTheSuffixesOfPrompts) {
  constexpr std::int64_t kFlash = 1;  // sdp::SDPBackend::flash_attention.
  const Clip clip(small_clip_weights());
  const TransformerBlock& block = clip.text_block(1);
  const Heads rows = project_heads(block, at::ones({2, 26, 128}));
  EXPECT_EQ(at::_fused_sdp_choice(rows.q, rows.k, rows.v), kFlash);
  EXPECT_EQ(at::_fused_sdp_choice(rows.q.narrow(2, 0, 1), rows.k, rows.v), kFlash);
  const Heads trained = project_heads(block, at::ones({2, 26, 128}).requires_grad_());
  EXPECT_EQ(
      at::_fused_sdp_choice(trained.q.narrow(2, 20, 6), trained.k, trained.v, at::zeros({6, 26})),
      kFlash);
}

TEST(Clip, OfFrozenWeightsBuildsNoGraph) {
  const Clip clip(small_clip_weights());
  EXPECT_FALSE(clip.encode_images(images(), spec_of({"qk"})).global.requires_grad());
}

// What pretraining needs: derivatives along a random direction through all weights of both towers.
TEST(Clip, CanBeDifferentiatedInItsWeights) {
  at::set_num_threads(1);
  TensorMap weights = small_clip_weights();
  FeatureSpec spec = spec_of({"qk"});
  spec.cls_ln_post = true;
  const at::Tensor ids = at::tensor({97L, 3L, 14L, 99L, 97L, 8L, 99L, 0L}).view({2, 4});
  const auto objective = [&](const Clip& clip) {
    const at::Tensor image = clip.encode_images(images(), spec).global;
    const at::Tensor text = clip.encode_texts(ids);
    return (image * text).sum() + image.square().sum() / 10;
  };
  for (auto& [name, tensor] : weights) tensor.requires_grad_();
  const Clip clip(weights);
  std::vector<at::Tensor> leaves;
  for (const auto& [name, tensor] : clip.weights()) {
    if (name != "logit_scale") leaves.push_back(tensor);
  }
  const auto gradients = torch::autograd::grad({objective(clip)}, leaves);

  constexpr double kStep = 2e-4;
  double expected = 0;
  TensorMap ahead, behind;
  for (const auto& [name, tensor] : weights) {
    const at::Tensor direction = golden_uniform("direction", name, tensor.sizes()).to(at::kFloat);
    ahead[name] = tensor.detach() + kStep * direction;
    behind[name] = tensor.detach() - kStep * direction;
  }
  for (std::size_t leaf = 0; const auto& [name, tensor] : weights) {
    if (name == "logit_scale") continue;
    const at::Tensor direction = golden_uniform("direction", name, tensor.sizes());
    expected += (gradients[leaf++] * direction).sum().item<double>();
  }
  const double found =
      (objective(Clip(ahead)) - objective(Clip(behind))).item<double>() / (2 * kStep);
  EXPECT_NEAR(found, expected, 5e-3 * std::abs(expected));
}

TEST(Clip, ConvertsHalfPrecisionWeights) {
  TensorMap half = small_clip_weights(), rounded;
  for (auto& [name, tensor] : half) {
    tensor = tensor.to(name.ends_with("bias") ? at::kBFloat16 : at::kHalf);
    rounded[name] = tensor.to(at::kFloat);
  }
  const FeatureSpec spec = spec_of({"vv"});
  EXPECT_TRUE(at::equal(Clip(half).encode_images(images(), spec).global,
                        Clip(rounded).encode_images(images(), spec).global));
}

TEST(Clip, ReadsItsSizesOffTheWeights) {
  const ClipSizes sizes = clip_sizes(small_clip_weights()), expected = small_clip_sizes();
  EXPECT_EQ(sizes.vision_layers, expected.vision_layers);
  EXPECT_EQ(sizes.native_grid, expected.native_grid);
  EXPECT_EQ(sizes.joint, expected.joint);
  EXPECT_EQ(sizes.vocabulary, expected.vocabulary);
  EXPECT_EQ(clip_tensors(sizes).size(), small_clip_weights().size());
}

TEST(Clip, NamesTheTensorThatDoesNotFit) {
  const auto refusal = [](const std::string& name, const at::Tensor& tensor) {
    return [name, tensor] {
      TensorMap weights = small_clip_weights();
      weights.erase(name);
      if (tensor.defined()) weights[name] = tensor;
      const Clip clip(weights, "w.safetensors");
    };
  };
  EXPECT_THAT(refusal("visual.ln_post.bias", at::zeros({64})),
              ThrowsMessage<DataError>(HasSubstr(
                  "w.safetensors: tensor 'visual.ln_post.bias' has shape [64], expected [128]")));
  EXPECT_THAT(refusal("visual.proj", {}),
              ThrowsMessage<DataError>(AllOf(HasSubstr("'visual.proj' is missing"))));
  EXPECT_THAT(refusal("transformer.resblocks.2.mlp.c_fc.bias", {}),
              ThrowsMessage<DataError>(HasSubstr("'transformer.resblocks.2.mlp.c_fc.bias'")));
  EXPECT_THAT(refusal("visual.positional_embedding", at::zeros({11, 128})),
              ThrowsMessage<DataError>(HasSubstr("[11, 128], expected [10, 128]")));
  EXPECT_THAT(refusal("ln_final.weight", at::zeros({128}, at::kLong)),
              ThrowsMessage<DataError>(HasSubstr("expected a floating-point type")));
}

// Resizing of one axis, as a matrix [to, from] (spec/methods-baselines.md 1.8): Keys' cubic.
at::Tensor cubic_matrix(std::int64_t from, std::int64_t to, bool antialias) {
  const double a = antialias ? -0.5 : -0.75;
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = antialias ? std::max(scale, 1.0) : 1.0;
  const auto kernel = [&](double x) {
    x = std::abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0.0;
  };
  at::Tensor matrix = at::zeros({to, from}, at::kDouble);
  for (std::int64_t o = 0; o < to; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale - 0.5;
    for (std::int64_t j = -8; j < from + 8; ++j) {
      const double weight = kernel((static_cast<double>(j) - centre) / stretch);
      if (antialias && (j < 0 || j >= from)) continue;                // Dropped, then renormalised.
      matrix[o][std::clamp<std::int64_t>(j, 0, from - 1)] += weight;  // Clamped.
    }
  }
  return matrix / matrix.sum(1, true);
}

TEST(VisionPositions, ResizeBicubicallyWithAndWithoutAntialiasing) {
  const Clip clip(small_clip_weights());
  const at::Tensor table = clip.weights().at("visual.positional_embedding");
  const at::Tensor image = table.narrow(0, 1, 9).view({3, 3, -1}).permute({2, 0, 1});
  for (const std::int64_t grid : {2, 5, 7}) {
    for (const bool antialias : {false, true}) {
      const at::Tensor matrix = cubic_matrix(3, grid, antialias);
      const at::Tensor expected =
          at::matmul(at::matmul(matrix, image.to(at::kDouble)), matrix.t()).flatten(1).t();
      const at::Tensor found = clip.vision_positions(grid, antialias ? "bicubic_aa" : "bicubic");
      EXPECT_LT(largest_difference(found.narrow(0, 1, grid * grid), expected), 5e-6)
          << grid << (antialias ? " antialiased" : "");
      EXPECT_TRUE(at::equal(found[0], table[0]));
    }
  }
}

TEST(VisionPositions, StayAsTheyAreOnTheNativeGrid) {
  const Clip clip(small_clip_weights());
  EXPECT_TRUE(at::equal(clip.vision_positions(3, "bicubic_aa"),
                        clip.weights().at("visual.positional_embedding")));
  EXPECT_THROW((void)clip.vision_positions(4, "nearest"), std::invalid_argument);
}

}  // namespace
}  // namespace assay
