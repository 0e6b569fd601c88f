#include "tests/support/golden.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>

namespace assay {
namespace {

class GoldenVisual : public ::testing::TestWithParam<std::filesystem::path> {};

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> all;
  for (const char* kind : {"clip", "faprompt", "anomalyclip"}) {
    for (auto& path : golden_files(kind)) all.push_back(std::move(path));
  }
  return all;
}

// The feature specification that a file's kind, config and switches ask for.
FeatureSpec spec_of(const GoldenFile& file) {
  const nlohmann::json& switches = file.switches;
  FeatureSpec spec;
  spec.image_size = file.size("image_size");
  spec.activation = file.config.value("activation", "quick_gelu");
  spec.layers = {file.size("vision_layers")};
  spec.streams = {"vv"};
  if (file.kind == "clip") spec.streams = {"qk"};
  if (file.kind == "clip") spec.cls_ln_post = true;
  if (file.config.contains("layers")) file.config["layers"].get_to(spec.layers);
  if (switches.is_null()) return spec;
  spec.cls_ln_post = switches.value("vis.cls_ln_post", false);
  spec.first_block = switches.value("vis.first_block", 6);
  if (switches.contains("vis.attention")) {
    const nlohmann::json& attention = switches["vis.attention"];
    if (attention.is_array()) attention.get_to(spec.streams);
    if (attention.is_string()) spec.streams = {attention.get<std::string>()};
  }
  return spec;
}

TEST_P(GoldenVisual, TensorsEqualTheReference) {
  const GoldenFile file = load_golden(GetParam());
  const Clip clip(golden_clip(file.case_name, golden_sizes(file)));
  const FeatureSpec spec = spec_of(file);
  const at::Tensor bytes =
      golden_image_bytes(file.case_name, file.size("batch"), file.size("image_size"));
  ASSERT_TRUE(at::equal(bytes, file.tensor("input.image_u8")));

  const VisualFeatures features =
      clip.encode_images(normalise_images(bytes), spec, /*with_hidden=*/file.has("visual.hidden"));

  expect_golden(file, "visual.global", features.global, kForwardTolerance);
  if (file.has("visual.positional")) {
    expect_golden(file, "visual.positional",
                  clip.vision_positions(spec.image_size / file.size("patch"), spec.pos_resize),
                  kForwardTolerance);
  }
  if (file.has("visual.hidden")) {
    expect_golden(file, "visual.hidden", features.hidden, kForwardTolerance);
  }
  for (const auto& [stream, layers] : features.patch) {
    const std::string name = spec.streams.size() > 1 ? "visual.patch." + stream : "visual.patch";
    at::Tensor patch = layers;  // [L, B, 1 + N, J]
    if (file.kind == "faprompt") patch = patch[0].transpose(0, 1);
    if (file.kind == "clip") patch = patch[-1].narrow(1, 1, patch.size(2) - 1);
    expect_golden(file, name, patch, kForwardTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenVisual, ::testing::ValuesIn(files()), golden_name);

}  // namespace
}  // namespace assay
