#include "registry/backbone_catalogue.h"

#include "core/error.h"
#include "registry/feature_spec.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(BackboneCatalogue, HasTapsAtQuartersAndSizesThatThePatchDivides) {
  for (const BackboneDescription& backbone : backbones()) {
    for (std::int64_t quarter = 1; quarter <= 4; ++quarter) {
      EXPECT_EQ(backbone.taps.at(static_cast<std::size_t>(quarter - 1)),
                backbone.vision_layers * quarter / 4)
          << backbone.name;
    }
    EXPECT_EQ(backbone.default_image_size % backbone.patch, 0) << backbone.name;
    EXPECT_EQ(backbone.vision_width % 64 + backbone.text_width % 64, 0) << backbone.name;
  }
}

TEST(BackboneCatalogue, SuggestsTheNearestName) {
  EXPECT_EQ(find_backbone("assay-tiny").vision_width, 128);
  EXPECT_THAT([] { (void)find_backbone("clip-vit-b16"); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("'clip-vit-b16' is not a backbone"),
                                               HasSubstr("did you mean 'clip-vit-b-16'?"),
                                               HasSubstr("assay-tiny"))));
}

TEST(FeatureSpec, ComesBackFromItsJson) {
  FeatureSpec spec;
  spec.backbone = "assay-tiny";
  spec.image_size = 128;
  spec.streams = {"qk", "vv"};
  spec.first_block = 3;
  spec.layers = {2, 8};
  spec.cls_ln_post = true;
  EXPECT_EQ(feature_spec_from_json(to_json(spec)), spec);
}

TEST(FeatureSpec, RefusesAMissingAndAnUnknownField) {
  nlohmann::json json = to_json(FeatureSpec{});
  json["colour"] = 1;
  EXPECT_THAT([&] { (void)feature_spec_from_json(json); },
              ThrowsMessage<ConfigError>(HasSubstr("'colour' is not a field")));
  json = to_json(FeatureSpec{});
  json.erase("layers");
  EXPECT_THAT([&] { (void)feature_spec_from_json(json); },
              ThrowsMessage<ConfigError>(HasSubstr("layers")));
}

}  // namespace
}  // namespace assay
