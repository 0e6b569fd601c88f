#include "registry/weights_import.h"

#include "core/error.h"
#include "tests/support/small_clip.h"
#include "tests/support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

BackboneDescription small_backbone() {
  const ClipSizes sizes = small_clip_sizes();
  BackboneDescription backbone{};
  backbone.name = "small";
  backbone.vision_layers = sizes.vision_layers;
  backbone.vision_width = sizes.vision_width;
  backbone.patch = sizes.patch;
  backbone.native_grid = sizes.native_grid;
  backbone.text_layers = sizes.text_layers;
  backbone.text_width = sizes.text_width;
  backbone.joint = sizes.joint;
  backbone.weights_file = "small.safetensors";
  return backbone;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// OpenAI's names to HuggingFace's, the other way round than the import.
TensorMap huggingface(const TensorMap& weights) {
  TensorMap out;
  for (const auto& [name, tensor] : weights) {
    const bool vision = name.starts_with("visual.");
    std::string to = (vision ? "vision_model." : "text_model.") + replaced(name, "visual.", "");
    to = replaced(to, "transformer.resblocks.", "encoder.layers.");
    for (const auto& [ours, theirs] : std::vector<std::pair<std::string, std::string>>{
             {".ln_1.", ".layer_norm1."},
             {".ln_2.", ".layer_norm2."},
             {".attn.out_proj.", ".self_attn.out_proj."},
             {"c_fc", "fc1"},
             {"c_proj", "fc2"},
             {".ln_pre.", ".pre_layrnorm."},
             {".ln_post.", ".post_layernorm."},
             {".ln_final.", ".final_layer_norm."},
             {".class_embedding", ".embeddings.class_embedding"},
             {".positional_embedding", ".embeddings.position_embedding.weight"},
             {".conv1.", ".embeddings.patch_embedding."},
             {".token_embedding.", ".embeddings.token_embedding."}}) {
      to = replaced(to, ours, theirs);
    }
    if (name == "logit_scale") {
      out[name] = tensor;
    } else if (name == "visual.proj" || name == "text_projection") {
      out[vision ? "visual_projection.weight" : "text_projection.weight"] = tensor.t();
    } else if (name.find("in_proj_") != std::string::npos) {
      const std::string kind = name.ends_with("weight") ? "weight" : "bias";
      const auto parts = tensor.chunk(3);
      for (std::size_t i = 0; i < 3; ++i) {
        out[replaced(to, "attn.in_proj_" + kind,
                     std::string("self_attn.") + "qkv"[i] + "_proj." + kind)] = parts[i];
      }
    } else {
      out[to] = tensor;
    }
  }
  out["text_model.embeddings.position_ids"] = at::arange(77).unsqueeze(0);  // Older checkpoints.
  return out;
}

void expect_equal(const TensorMap& found, const TensorMap& expected) {
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
  }
}

TEST(WeightsImport, TakesHuggingFacesNames) {
  const TemporaryFolder folder;
  write_safetensors(folder / "hf", {huggingface(small_clip_weights()), {}});
  const Clip clip = load_backbone(small_backbone(), folder / "hf");
  expect_equal(clip.weights(), small_clip_weights());
}

TEST(WeightsImport, TakesNamesBehindModule) {
  TensorMap prefixed;
  for (const auto& [name, tensor] : small_clip_weights()) prefixed["module." + name] = tensor;
  expect_equal(to_openai_naming(prefixed, "w"), small_clip_weights());
}

TEST(WeightsImport, WritesOpenAisNamesWithTheSourcesDigestAndTypes) {
  const TemporaryFolder folder;
  TensorMap half = huggingface(small_clip_weights());
  for (auto& [name, tensor] : half) tensor = tensor.to(at::kHalf);
  write_safetensors(folder / "hf", {half, {}});
  const auto path = import_backbone(small_backbone(), folder / "hf", folder / "weights");
  EXPECT_EQ(path, folder / "weights/small.safetensors");
  const SafeTensors written = read_safetensors(path);
  EXPECT_EQ(written.tensors.size(), small_clip_weights().size());
  EXPECT_EQ(written.tensors.at("visual.proj").scalar_type(), at::kHalf);
  EXPECT_EQ(written.metadata.at("source_sha256").size(), 64U);
}

TEST(WeightsImport, NamesAMissingTensorAsTheFileSpellsIt) {
  TensorMap weights = huggingface(small_clip_weights());
  weights.erase("text_model.encoder.layers.1.self_attn.k_proj.bias");
  EXPECT_THAT(
      [&] { (void)to_openai_naming(weights, "w.safetensors"); },
      ThrowsMessage<DataError>(HasSubstr(
          "w.safetensors: tensor 'text_model.encoder.layers.1.self_attn.k_proj.bias' is missing")));
}

TEST(WeightsImport, SaysWhatToPutWhereWeightsAreMissing) {
  EXPECT_THAT(
      [] {
        (void)load_backbone(find_backbone("clip-vit-b-16"), "/none/clip-vit-b-16.safetensors");
      },
      ThrowsMessage<DataError>(AllOf(HasSubstr("/none/clip-vit-b-16.safetensors: no weights"),
                                     HasSubstr("'clip-vit-b-16'"),
                                     HasSubstr("assay backbone import"))));
}

TEST(WeightsImport, RefusesAnotherModelsWeights) {  // Case W12.
  const TemporaryFolder folder;
  write_safetensors(folder / "w", {small_clip_weights(), {}});
  BackboneDescription other = small_backbone();
  other.native_grid = 15;
  EXPECT_THAT([&] { (void)load_backbone(other, folder / "w"); },
              ThrowsMessage<DataError>(HasSubstr("native grid 3, backbone 'small' has 15")));
}

}  // namespace
}  // namespace assay
