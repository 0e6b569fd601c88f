#include "registry/clip.h"

#include "core/error.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

namespace assay {
namespace {

using Shape = std::vector<std::int64_t>;

const at::Tensor& at_name(const TensorMap& weights,
                          const std::string& name,
                          const std::string& origin,
                          std::int64_t rank) {
  const auto found = weights.find(name);
  if (found == weights.end()) {
    throw DataError("{}: tensor '{}' is missing; expected a CLIP in OpenAI's naming", origin, name);
  }
  if (found->second.dim() != rank) {
    throw DataError("{}: tensor '{}' has shape [{}], expected {} dimensions", origin, name,
                    fmt::join(found->second.sizes(), ", "), rank);
  }
  return found->second;
}

// Blocks are numbered without gaps, so the first that is missing ends the tower.
std::int64_t count_blocks(const TensorMap& weights, const std::string& tower) {
  std::int64_t count = 0;
  while (weights.contains(fmt::format("{}resblocks.{}.ln_1.weight", tower, count))) ++count;
  return count;
}

TransformerBlock block_of(const TensorMap& weights, const std::string& tower, std::int64_t index) {
  const auto get = [&](const char* name) {
    return weights.at(fmt::format("{}resblocks.{}.{}", tower, index, name));
  };
  return {.ln_1_weight = get("ln_1.weight"),
          .ln_1_bias = get("ln_1.bias"),
          .in_proj_weight = get("attn.in_proj_weight"),
          .in_proj_bias = get("attn.in_proj_bias"),
          .out_proj_weight = get("attn.out_proj.weight"),
          .out_proj_bias = get("attn.out_proj.bias"),
          .ln_2_weight = get("ln_2.weight"),
          .ln_2_bias = get("ln_2.bias"),
          .c_fc_weight = get("mlp.c_fc.weight"),
          .c_fc_bias = get("mlp.c_fc.bias"),
          .c_proj_weight = get("mlp.c_proj.weight"),
          .c_proj_bias = get("mlp.c_proj.bias"),
          .packed = nullptr};
}

constexpr const char* kVision = "visual.transformer.";
constexpr const char* kText = "transformer.";

// What products take: attention, MLP and patches; not norms, embeddings, final projections.
bool is_of_products(const std::string& name) {
  return name.find(".attn.") != std::string::npos || name.find(".mlp.") != std::string::npos ||
         name == "visual.conv1.weight";
}

void check_request(const ClipSizes& sizes, const at::Tensor& images, const FeatureSpec& spec) {
  if (images.dim() != 4 || images.size(1) != 3 || images.size(2) != images.size(3) ||
      images.size(2) % sizes.patch != 0 || images.size(2) == 0) {
    throw std::invalid_argument(
        fmt::format("images of shape [{}], expected [B, 3, S, S] with S a multiple of {}",
                    fmt::join(images.sizes(), ", "), sizes.patch));
  }
  check_activation(spec.activation);
  const std::set<std::string> known = {"kk", "qk", "qq", "vv"};
  for (const std::string& stream : spec.streams) {
    if (!known.contains(stream)) {
      throw std::invalid_argument(fmt::format("stream '{}' is not one of kk, qk, qq, vv", stream));
    }
    if (stream != "qk" && (spec.first_block < 1 || spec.first_block > sizes.vision_layers)) {
      throw std::invalid_argument(
          fmt::format("stream '{}' from block {}, the backbone has blocks 1 to {}", stream,
                      spec.first_block, sizes.vision_layers));
    }
  }
  for (const std::int64_t layer : spec.layers) {
    if (layer < 1 || layer > sizes.vision_layers) {
      throw std::invalid_argument(
          fmt::format("layer {}, the backbone has blocks 1 to {}", layer, sizes.vision_layers));
    }
  }
}

}  // namespace

ClipSizes clip_sizes(const TensorMap& weights, const std::string& origin) {
  const at::Tensor& conv = at_name(weights, "visual.conv1.weight", origin, 4);
  const at::Tensor& positions = at_name(weights, "visual.positional_embedding", origin, 2);
  const at::Tensor& text_positions = at_name(weights, "positional_embedding", origin, 2);
  ClipSizes sizes{};
  sizes.vision_width = conv.size(0);
  sizes.patch = conv.size(2);
  sizes.vision_layers = count_blocks(weights, kVision);
  sizes.native_grid = std::llround(std::sqrt(static_cast<double>(positions.size(0) - 1)));
  sizes.context = text_positions.size(0);
  sizes.text_width = text_positions.size(1);
  sizes.text_layers = count_blocks(weights, kText);
  sizes.vocabulary = at_name(weights, "token_embedding.weight", origin, 2).size(0);
  sizes.joint = at_name(weights, "visual.proj", origin, 2).size(1);
  for (const std::int64_t width : {sizes.vision_width, sizes.text_width}) {
    if (width < kHeadWidth || width % kHeadWidth != 0) {
      throw DataError(
          "{}: a transformer of width {}, expected a multiple of {}, the width of a head", origin,
          width, kHeadWidth);
    }
  }
  if (sizes.vision_layers == 0 || sizes.text_layers == 0) {
    throw DataError("{}: {} vision and {} text blocks, expected at least one of each", origin,
                    sizes.vision_layers, sizes.text_layers);
  }
  return sizes;
}

std::vector<std::pair<std::string, Shape>> clip_tensors(const ClipSizes& sizes) {
  const std::int64_t w = sizes.vision_width, t = sizes.text_width;
  std::vector<std::pair<std::string, Shape>> out = {
      {"visual.class_embedding", {w}},
      {"visual.positional_embedding", {sizes.native_grid * sizes.native_grid + 1, w}},
      {"visual.conv1.weight", {w, 3, sizes.patch, sizes.patch}},
      {"visual.ln_pre.weight", {w}},
      {"visual.ln_pre.bias", {w}},
      {"visual.ln_post.weight", {w}},
      {"visual.ln_post.bias", {w}},
      {"visual.proj", {w, sizes.joint}},
      {"token_embedding.weight", {sizes.vocabulary, t}},
      {"positional_embedding", {sizes.context, t}},
      {"ln_final.weight", {t}},
      {"ln_final.bias", {t}},
      {"text_projection", {t, sizes.joint}},
      {"logit_scale", {}}};
  const auto add_tower = [&](const char* tower, std::int64_t layers, std::int64_t width) {
    for (std::int64_t i = 0; i < layers; ++i) {
      const auto add = [&](const char* name, Shape shape) {
        out.emplace_back(fmt::format("{}resblocks.{}.{}", tower, i, name), std::move(shape));
      };
      for (const char* name : {"ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"}) {
        add(name, {width});
      }
      add("attn.in_proj_weight", {3 * width, width});
      add("attn.in_proj_bias", {3 * width});
      add("attn.out_proj.weight", {width, width});
      add("attn.out_proj.bias", {width});
      add("mlp.c_fc.weight", {4 * width, width});
      add("mlp.c_fc.bias", {4 * width});
      add("mlp.c_proj.weight", {width, 4 * width});
      add("mlp.c_proj.bias", {width});
    }
  };
  add_tower(kVision, sizes.vision_layers, w);
  add_tower(kText, sizes.text_layers, t);
  return out;
}

Clip::Clip(const TensorMap& weights, const std::string& origin)
    : sizes_(clip_sizes(weights, origin)) {
  for (const auto& [name, shape] : clip_tensors(sizes_)) {
    const at::Tensor& tensor =
        at_name(weights, name, origin, static_cast<std::int64_t>(shape.size()));
    if (tensor.sizes() != at::IntArrayRef(shape)) {
      throw DataError("{}: tensor '{}' has shape [{}], expected [{}]", origin, name,
                      fmt::join(tensor.sizes(), ", "), fmt::join(shape, ", "));
    }
    if (!tensor.is_floating_point()) {
      throw DataError("{}: tensor '{}' holds {}, expected a floating-point type", origin, name,
                      c10::toString(tensor.scalar_type()));
    }
    weights_.emplace(name, tensor.to(at::kFloat).contiguous());
  }
  collect_blocks();
}

void Clip::collect_blocks() {
  vision_blocks_.clear();
  text_blocks_.clear();
  for (std::int64_t i = 0; i < sizes_.vision_layers; ++i) {
    vision_blocks_.push_back(block_of(weights_, kVision, i));
  }
  for (std::int64_t i = 0; i < sizes_.text_layers; ++i) {
    text_blocks_.push_back(block_of(weights_, kText, i));
    pack(text_blocks_.back());
  }
}

void Clip::move_to(at::Device device, at::ScalarType products) {
  for (auto& [name, tensor] : weights_) {
    tensor = tensor.to(device, is_of_products(name) ? products : at::kFloat);
  }
  collect_blocks();
}

at::Tensor Clip::vision_positions(std::int64_t grid, const std::string& pos_resize) const {
  const at::Tensor& table = weights_.at("visual.positional_embedding");
  const std::int64_t native = sizes_.native_grid;
  if (grid == native) return table;
  const at::Tensor image =  // [1, W, native, native]
      table.narrow(0, 1, native * native).view({1, native, native, -1}).permute({0, 3, 1, 2});
  at::Tensor resized;
  if (pos_resize == "bilinear") {
    resized = at::upsample_bilinear2d(image, {grid, grid}, /*align_corners=*/false);
  } else if (pos_resize == "bicubic_aa") {  // a = -0.5 and renormalised borders.
    resized = at::_upsample_bicubic2d_aa(image, {grid, grid}, /*align_corners=*/false);
  } else if (pos_resize == "bicubic") {  // a = -0.75 and clamped borders.
    resized = at::upsample_bicubic2d(image, {grid, grid}, /*align_corners=*/false);
  } else {
    throw std::invalid_argument("position resize '" + pos_resize +
                                "' is not known; expected bilinear, bicubic_aa or bicubic");
  }
  // [1, W, grid, grid] -> [grid^2, W], below the class token's row, which is kept.
  return at::cat({table.narrow(0, 0, 1), resized.flatten(2)[0].t()});
}

// spec/methods-seeds.md 1.4 and, for the side streams, spec/ablations.md 1.3 "Streams".
VisualFeatures Clip::encode_images(const at::Tensor& images,
                                   const FeatureSpec& spec,
                                   bool with_hidden) const {
  check_request(sizes_, images, spec);
  const std::int64_t batch = images.size(0);
  const auto tapped = [&](std::int64_t block) {
    return std::ranges::find(spec.layers, block) != spec.layers.end();
  };
  const auto normed_and_projected = [&](const at::Tensor& rows) {
    return at::matmul(
        layer_norm(rows, weights_.at("visual.ln_post.weight"), weights_.at("visual.ln_post.bias")),
        weights_.at("visual.proj"));
  };

  const at::Tensor& patch_weight = weights_.at("visual.conv1.weight");
  const at::Tensor patches =  // [B, W, g, g] -> [B, N, W]
      at::conv2d(images.to(patch_weight.scalar_type()), patch_weight, /*bias=*/{},
                 /*stride=*/sizes_.patch)
          .to(at::kFloat)
          .flatten(2)
          .transpose(1, 2);
  const at::Tensor class_row =
      weights_.at("visual.class_embedding").expand({batch, 1, sizes_.vision_width});
  at::Tensor x = layer_norm(at::cat({class_row, patches}, 1) +
                                vision_positions(images.size(2) / sizes_.patch, spec.pos_resize),
                            weights_.at("visual.ln_pre.weight"), weights_.at("visual.ln_pre.bias"));

  std::map<std::string, at::Tensor> streams;              // States by name.
  std::map<std::string, std::vector<at::Tensor>> tokens;  // Tapped and projected.
  std::vector<at::Tensor> hidden;
  for (std::int64_t block = 1; block <= sizes_.vision_layers; ++block) {
    const TransformerBlock& weights = vision_blocks_[static_cast<std::size_t>(block - 1)];
    const Heads heads = project_heads(weights, x);
    for (const std::string& name : spec.streams) {
      if (name == "qk" || block < spec.first_block) continue;
      const at::Tensor& same = name == "vv" ? heads.v : name == "qq" ? heads.q : heads.k;
      const at::Tensor& before = streams.contains(name) ? streams.at(name) : x;
      streams[name] = before + project_out(weights, attend(same, same, heads.v));
    }
    // Past the last tap of the plain stream only the class token's row of the last block counts.
    const bool whole = block < sizes_.vision_layers || with_hidden ||
                       std::ranges::find(spec.streams, "qk") != spec.streams.end() ||
                       (tapped(block) && block < spec.first_block);
    x = whole ? finish_block(weights, x, heads, spec.activation)
              : finish_block(weights, x.narrow(1, 0, 1),
                             {heads.q.narrow(2, 0, 1), heads.k, heads.v}, spec.activation);

    if (!tapped(block)) continue;
    for (const std::string& name : spec.streams) {
      const auto side = streams.find(name);
      tokens[name].push_back(normed_and_projected(side == streams.end() ? x : side->second));
    }
    if (with_hidden) hidden.push_back(x);
  }

  VisualFeatures features;
  for (auto& [name, layers] : tokens) features.patch.emplace(name, at::stack(layers));
  if (with_hidden && !hidden.empty()) features.hidden = at::stack(hidden);
  const at::Tensor class_token = x.select(1, 0);
  features.global = spec.cls_ln_post ? normed_and_projected(class_token)
                                     : at::matmul(class_token, weights_.at("visual.proj"));
  return features;
}

at::Tensor Clip::embed_tokens(const at::Tensor& ids) const {
  return at::embedding(weights_.at("token_embedding.weight"), ids.to(device()));
}

at::Tensor Clip::encode_texts(const at::Tensor& ids, const std::string& activation) const {
  check_activation(activation);
  at::Tensor x = embed_tokens(ids) + text_positions().narrow(0, 0, ids.size(1));
  for (const TransformerBlock& block : text_blocks_) {
    x = finish_block(block, x, project_heads(block, x), activation, /*causal=*/true);
  }
  const at::Tensor end =
      ids.to(device()).argmax(1).view({-1, 1, 1}).expand({-1, 1, sizes_.text_width});
  return project_text(x.gather(1, end).squeeze(1));  // [P, R, T] -> [P, J]
}

const TransformerBlock& Clip::text_block(std::int64_t block) const {
  return text_blocks_.at(static_cast<std::size_t>(block - 1));
}

const at::Tensor& Clip::text_positions() const { return weights_.at("positional_embedding"); }

at::Tensor Clip::project_text(const at::Tensor& rows) const {
  return at::matmul(layer_norm(rows, weights_.at("ln_final.weight"), weights_.at("ln_final.bias")),
                    weights_.at("text_projection"));
}

}  // namespace assay
