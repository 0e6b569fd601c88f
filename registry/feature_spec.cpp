#include "registry/feature_spec.h"

#include "core/error.h"

#include <nlohmann/json.hpp>

namespace assay {

nlohmann::json to_json(const FeatureSpec& spec) {
  return {{"backbone", spec.backbone},     {"image_size", spec.image_size},
          {"streams", spec.streams},       {"first_block", spec.first_block},
          {"layers", spec.layers},         {"cls_ln_post", spec.cls_ln_post},
          {"activation", spec.activation}, {"pos_resize", spec.pos_resize}};
}

FeatureSpec feature_spec_from_json(const nlohmann::json& json) {
  FeatureSpec spec;
  try {
    json.at("backbone").get_to(spec.backbone);
    json.at("image_size").get_to(spec.image_size);
    json.at("streams").get_to(spec.streams);
    json.at("first_block").get_to(spec.first_block);
    json.at("layers").get_to(spec.layers);
    json.at("cls_ln_post").get_to(spec.cls_ln_post);
    json.at("activation").get_to(spec.activation);
    json.at("pos_resize").get_to(spec.pos_resize);
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError("feature specification: {}", error.what());
  }
  const nlohmann::json known = to_json(spec);
  for (const auto& item : json.items()) {
    if (!known.contains(item.key())) {
      throw ConfigError("feature specification: '{}' is not a field of it", item.key());
    }
  }
  return spec;
}

}  // namespace assay
