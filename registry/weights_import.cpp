#include "registry/weights_import.h"

#include "core/digest.h"
#include "core/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <utility>

namespace assay {
namespace {

using Renaming = std::pair<const char*, const char*>;  // HuggingFace's name, OpenAI's.

constexpr std::array<Renaming, 12> kOutsideBlocks = {
    {{"vision_model.embeddings.class_embedding", "visual.class_embedding"},
     {"vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"},
     {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"},
     {"vision_model.pre_layrnorm.weight", "visual.ln_pre.weight"},  // Spelled this way.
     {"vision_model.pre_layrnorm.bias", "visual.ln_pre.bias"},
     {"vision_model.post_layernorm.weight", "visual.ln_post.weight"},
     {"vision_model.post_layernorm.bias", "visual.ln_post.bias"},
     {"text_model.embeddings.token_embedding.weight", "token_embedding.weight"},
     {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
     {"text_model.final_layer_norm.weight", "ln_final.weight"},
     {"text_model.final_layer_norm.bias", "ln_final.bias"},
     {"logit_scale", "logit_scale"}}};

constexpr std::array<Renaming, 5> kInsideBlocks = {{{"layer_norm1", "ln_1"},
                                                    {"layer_norm2", "ln_2"},
                                                    {"self_attn.out_proj", "attn.out_proj"},
                                                    {"mlp.fc1", "mlp.c_fc"},
                                                    {"mlp.fc2", "mlp.c_proj"}}};

TensorMap from_huggingface(const TensorMap& weights, const std::string& origin) {
  const auto get = [&](const std::string& name) {
    const auto found = weights.find(name);
    if (found != weights.end()) return found->second;
    throw DataError("{}: tensor '{}' is missing; expected a CLIPModel in HuggingFace's naming",
                    origin, name);
  };
  TensorMap out;
  for (const auto& [theirs, ours] : kOutsideBlocks) out[ours] = get(theirs);
  out["visual.proj"] = get("visual_projection.weight").t();
  out["text_projection"] = get("text_projection.weight").t();
  const auto add_tower = [&](const char* their_tower, const char* our_tower) {
    for (std::int64_t layer = 0;; ++layer) {
      const std::string theirs = fmt::format("{}.encoder.layers.{}.", their_tower, layer);
      if (!weights.contains(theirs + "layer_norm1.weight")) return;
      const std::string ours = fmt::format("{}.resblocks.{}.", our_tower, layer);
      for (const std::string kind : {"weight", "bias"}) {
        for (const auto& [their_part, our_part] : kInsideBlocks) {
          out[ours + our_part + "." + kind] = get(theirs + their_part + "." + kind);
        }
        const std::string attention = theirs + "self_attn.";
        out[ours + "attn.in_proj_" + kind] =
            at::cat({get(attention + "q_proj." + kind), get(attention + "k_proj." + kind),
                     get(attention + "v_proj." + kind)});
      }
    }
  };
  add_tower("vision_model", "visual.transformer");
  add_tower("text_model", "transformer");
  return out;
}

void check_sizes(const BackboneDescription& backbone,
                 const ClipSizes& sizes,
                 const std::string& origin) {
  const auto check = [&](const char* what, std::int64_t found, std::int64_t expected) {
    if (found != expected) {
      throw DataError("{}: {} {}, backbone '{}' has {}; these are another model's weights", origin,
                      what, found, backbone.name, expected);
    }
  };
  check("vision width", sizes.vision_width, backbone.vision_width);
  check("number of vision blocks", sizes.vision_layers, backbone.vision_layers);
  check("patch", sizes.patch, backbone.patch);
  check("native grid", sizes.native_grid, backbone.native_grid);
  check("text width", sizes.text_width, backbone.text_width);
  check("number of text blocks", sizes.text_layers, backbone.text_layers);
  check("joint width", sizes.joint, backbone.joint);
}

TensorMap read_weights(const BackboneDescription& backbone, const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) {
    throw DataError(
        "{}: no weights of backbone '{}' there; {}", path.string(), backbone.name,
        backbone.embedded
            ? "they come with the sources: check this file out again"
            : "save its released checkpoint as safetensors (names of OpenAI, open_clip or "
              "HuggingFace) and put it there, or run 'assay backbone import'");
  }
  return to_openai_naming(read_safetensors(path).tensors, path.string());
}

}  // namespace

TensorMap to_openai_naming(TensorMap weights, const std::string& origin) {
  const std::string prefix = "module.";
  const bool prefixed = !weights.empty() && std::ranges::all_of(weights, [&](const auto& item) {
    return item.first.starts_with(prefix);
  });
  if (prefixed) {
    TensorMap stripped;
    for (auto& [name, tensor] : weights) stripped.emplace(name.substr(prefix.size()), tensor);
    weights = std::move(stripped);
  }
  if (weights.contains("vision_model.embeddings.class_embedding")) {
    return from_huggingface(weights, origin);
  }
  return weights;
}

Clip load_backbone(const BackboneDescription& backbone, const std::filesystem::path& path) {
  Clip clip(read_weights(backbone, path), path.string());
  check_sizes(backbone, clip.sizes(), path.string());
  return clip;
}

std::filesystem::path import_backbone(const BackboneDescription& backbone,
                                      const std::filesystem::path& source,
                                      const std::filesystem::path& folder) {
  SafeTensors content;
  const TensorMap weights = read_weights(backbone, source);
  const Clip checked(weights, source.string());
  check_sizes(backbone, checked.sizes(), source.string());
  for (const auto& [name, shape] : clip_tensors(checked.sizes())) {
    content.tensors[name] = weights.at(name);
  }
  content.metadata = {{"backbone", backbone.name},
                      {"source", source.filename().string()},
                      {"source_sha256", sha256_file(source)}};
  const std::filesystem::path target = folder / backbone.weights_file;
  write_safetensors(target, content);
  return target;
}

}  // namespace assay
