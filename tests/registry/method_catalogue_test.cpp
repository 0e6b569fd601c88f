#include "registry/method_catalogue.h"

#include "core/error.h"

#include <gmock/gmock.h>

#include <map>

namespace assay {
namespace {

using Json = nlohmann::json;
using Overrides = std::map<std::string, Json>;
using ::testing::AllOf;
using ::testing::HasSubstr;

ResolvedMethod resolve(const char* name, const Overrides& overrides = {}) {
  return resolve_method(name, overrides, find_backbone("clip-vit-l-14-336"), 518);
}

std::string error_of(const char* name, const Overrides& overrides = {}) {
  try {
    static_cast<void>(resolve(name, overrides));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(MethodCatalogue, GivesEverySwitchAValueInEveryPreset) {
  for (const MethodDescription& method : methods()) {
    for (const auto& [preset, values] : method.presets) {
      EXPECT_EQ(values.size(), method.switches.size()) << method.name << ":" << preset;
      // Every value of a preset is one that a study could give.
      const ResolvedMethod plain = resolve((method.name + ":" + preset).c_str());
      const ResolvedMethod given =
          resolve((method.name + ":" + preset).c_str(), Overrides(values.begin(), values.end()));
      EXPECT_EQ(plain.switches, given.switches) << method.name << ":" << preset;
      EXPECT_EQ(plain.switches.dump(), given.switches.dump()) << method.name << ":" << preset;
    }
  }
}

TEST(MethodCatalogue, HasThePresetsOfTheSpec) {
  const Json paper = resolve("faprompt").switches, released = resolve("faprompt:released").switches;
  EXPECT_EQ(paper["dap.select"], "topm");
  EXPECT_EQ(released["dap.select"], "raster");
  EXPECT_EQ(released["loss.local_weights"], Json({1.0, 0.5}));
  EXPECT_EQ(paper["train.split"], "all");
  EXPECT_EQ(released["train.epochs"], 7);
  EXPECT_EQ(resolve("faprompt:released_v0").switches["cap.Ep"], 1);
  EXPECT_EQ(resolve("faprompt:paper_fixed").switches["dap.select"], "topm");
  EXPECT_EQ(resolve("anomalyclip:paper").switches["vis.layers"], Json({6, 12, 18, 24}));
  EXPECT_EQ(resolve("anomalyclip:released").switches["loss.lambda"], 4.0);
  EXPECT_EQ(resolve("clip").switches["infer.sigma"], 4.0);
  EXPECT_FALSE(resolve("clip").trained);
}

TEST(MethodCatalogue, TakesShortNamesAndLastComponents) {
  const ResolvedMethod resolved =
      resolve("faprompt", {{"K", 4}, {"E2", 3}, {"suffix_word", "broken"}, {"sigma", 8}});
  EXPECT_EQ(resolved.switches["cap.K"], 4);
  EXPECT_EQ(resolved.switches["cap.Ep"], 3);
  EXPECT_EQ(resolved.switches["cap.suffix_word"], "broken");
  EXPECT_EQ(
      resolved.params,
      Json({{"cap.K", 4}, {"cap.Ep", 3}, {"cap.suffix_word", "broken"}, {"infer.sigma", 8.0}}));
}

TEST(MethodCatalogue, MakesOneJobOfTwoSpellings) {
  const auto one = [](const Overrides& a, const Overrides& b) {
    return resolve("faprompt", a).effective.dump() == resolve("faprompt", b).effective.dump();
  };
  EXPECT_TRUE(one({{"infer.sigma", 4}}, {{"infer.sigma", 4.0}}));
  EXPECT_TRUE(one({{"dap.enabled", false}, {"M", 3}}, {{"dap.enabled", false}, {"M", 9}}));
  EXPECT_TRUE(one({{"K", 1}}, {{"K", 1}, {"oc_weight", 0.0}}));
  EXPECT_TRUE(one({{"oc_weight", 0}, {"oc_pairs", "ordered"}},
                  {{"oc_weight", 0}, {"oc_pairs", "unordered"}}));
  EXPECT_TRUE(one({{"deep_depth", 1}}, {{"deep_depth", 0}, {"deep_mode", "concat"}}));
  // Without pass 2 its maximum is that of pass 1.
  EXPECT_TRUE(one({{"dap.enabled", false}}, {{"dap.enabled", false}, {"max_mix", {1, 0}}}));
  EXPECT_TRUE(one({{"count.dead_params", false}}, {}));
  EXPECT_FALSE(one({{"K", 5}}, {}));
  EXPECT_EQ(resolve("anomalyclip", {{"vis.attention", "qk"}}).effective,
            resolve("anomalyclip", {{"vis.attention", {"qk"}}, {"first_block", 9}}).effective);
  EXPECT_EQ(resolve("anomalyclip", {{"vis.attention", {"vv", "kk", "qq"}}}).effective,
            resolve("anomalyclip", {{"vis.attention", {"qq", "kk", "vv"}}}).effective);
}

TEST(MethodCatalogue, SharesTrainingsThatDifferOnlyAtTest) {
  EXPECT_EQ(resolve("faprompt", {{"sigma", 4}}).training, resolve("faprompt").training);
  EXPECT_EQ(resolve("anomalyclip", {{"object_test", "cls"}}).training,
            resolve("anomalyclip").training);
  EXPECT_NE(resolve("anomalyclip", {{"object_train", "cls"}}).training,
            resolve("anomalyclip").training);
  // The focal loss is on the score.
  EXPECT_NE(resolve("faprompt", {{"max_weight", 0.25}}).training, resolve("faprompt").training);
  EXPECT_EQ(resolve("faprompt:released", {{"focal_weight", 0}, {"max_weight", 0.25}}).training,
            resolve("faprompt:released", {{"focal_weight", 0}}).training);
  EXPECT_EQ(resolve("faprompt", {{"epochs", 0}, {"lr", 1.0}, {"oc_weight", 3}}).training,
            resolve("faprompt", {{"epochs", 0}}).training);
}

TEST(MethodCatalogue, SaysWhatIsReadOfTheBackbone) {
  const FeatureSpec faprompt = resolve("faprompt").features;
  EXPECT_EQ(faprompt.streams, std::vector<std::string>{"vv"});
  EXPECT_EQ(faprompt.layers, std::vector<std::int64_t>{24});
  EXPECT_EQ(faprompt.first_block, 6);
  EXPECT_FALSE(faprompt.cls_ln_post);
  EXPECT_EQ(resolve("anomalyclip:released").features, faprompt);
  const FeatureSpec clip = resolve("clip").features;
  EXPECT_EQ(clip.streams, std::vector<std::string>{"qk"});
  EXPECT_EQ(clip.first_block, 0);
  EXPECT_TRUE(clip.cls_ln_post);
  const FeatureSpec all =
      resolve("anomalyclip", {{"vis.attention", {"qk", "qq", "kk", "vv"}}}).features;
  EXPECT_EQ(all.streams, (std::vector<std::string>{"kk", "qk", "qq", "vv"}));
  EXPECT_EQ(all.layers, (std::vector<std::int64_t>{6, 12, 18, 24}));
}

TEST(MethodCatalogue, FitsPresetsToTheBackbone) {
  const BackboneDescription& tiny = find_backbone("assay-tiny");
  const ResolvedMethod paper = resolve_method("anomalyclip", {}, tiny, 128);
  EXPECT_EQ(paper.switches["text.deep_depth"], 4);
  EXPECT_EQ(paper.switches["vis.layers"], Json({2, 4, 6, 8}));
  EXPECT_EQ(paper.switches["vis.first_block"], 3);
  EXPECT_DOUBLE_EQ(paper.switches["infer.sigma"].get<double>(), 4.0 * 128 / 518);
  EXPECT_EQ(resolve_method("faprompt", {}, tiny, 128).features.layers,
            std::vector<std::int64_t>{8});
  const BackboneDescription& laion = find_backbone("clip-vit-b-16-plus-240");
  EXPECT_EQ(resolve_method("clip", {}, laion, 240).features.activation, "gelu");
  // What a study says stays as it is.
  EXPECT_EQ(resolve_method("clip", {{"activation", "quick_gelu"}}, laion, 240).features.activation,
            "quick_gelu");
  EXPECT_EQ(resolve_method("faprompt", {{"sigma", 3}}, tiny, 128).switches["infer.sigma"], 3.0);
  EXPECT_THROW(static_cast<void>(resolve_method("faprompt", {{"deep_depth", 5}}, tiny, 128)),
               ConfigError);
}

TEST(MethodCatalogue, ForgetsTheResizeOfPositionsWhereNothingIsResized) {
  const auto resolve_at = [](std::int64_t size, const char* resize) {
    return resolve_method("faprompt", {{"pos_resize", resize}}, find_backbone("clip-vit-l-14-336"),
                          size);
  };
  EXPECT_EQ(resolve_at(336, "bicubic").effective, resolve_at(336, "bilinear").effective);
  EXPECT_EQ(resolve_at(336, "bicubic").features, resolve_at(336, "bilinear").features);
  EXPECT_NE(resolve_at(518, "bicubic").effective, resolve_at(518, "bilinear").effective);
  EXPECT_NE(resolve_at(518, "bicubic").features, resolve_at(518, "bilinear").features);
}

TEST(MethodCatalogue, NamesWhatIsWrong) {
  EXPECT_THAT(error_of("faprmopt"),
              AllOf(HasSubstr("'faprmopt' is not a method; did you mean 'faprompt'?"),
                    HasSubstr("known: anomalyclip, clip, faprompt")));
  EXPECT_EQ(error_of("faprompt:relased"),
            "'relased' is not a preset of faprompt; did you mean 'released'? known: paper, "
            "paper_fixed, released, released_v0");
  EXPECT_EQ(error_of("faprompt", {{"dap.selct", "topm"}}),
            "'dap.selct' is not a switch of faprompt; did you mean 'dap.select'?");
  EXPECT_THAT(
      error_of("clip", {{"cap.K", 3}}),
      AllOf(HasSubstr("'cap.K' is not a switch of clip; known: "), HasSubstr("vis.layers")));
  EXPECT_EQ(error_of("faprompt", {{"dap.select", "best"}}),
            "switch 'dap.select' of faprompt is \"best\", expected one of [\"topm\",\"raster\"]");
  EXPECT_EQ(error_of("faprompt", {{"K", "ten"}}),
            "switch 'cap.K' of faprompt is \"ten\", expected an integer of at least 1");
  EXPECT_EQ(error_of("faprompt", {{"K", 0}}),
            "switch 'cap.K' of faprompt is 0, expected an integer of at least 1");
  EXPECT_EQ(error_of("faprompt", {{"K", 2.5}}),
            "switch 'cap.K' of faprompt is 2.5, expected an integer of at least 1");
  EXPECT_EQ(error_of("faprompt", {{"max_weight", 1.5}}),
            "switch 'score.max_weight' of faprompt is 1.5, expected a number of at least 0 and at "
            "most 1");
  EXPECT_EQ(error_of("faprompt", {{"local_weights", {1}}}),
            "switch 'loss.local_weights' of faprompt is [1], expected a list of 2 values, each a "
            "number of at least 0");
  EXPECT_EQ(error_of("anomalyclip", {{"vis.layers", {24, 24}}}),
            "switch 'vis.layers' of anomalyclip is [24,24], expected a list of different values, "
            "each an integer of at least 1, or [\"last\",\"quarters\"]");
  EXPECT_EQ(error_of("anomalyclip", {{"vis.layers", 25}}),
            "switch 'vis.layers' is [25], expected blocks of clip-vit-l-14-336, which has 24");
  EXPECT_EQ(error_of("faprompt", {{"K", 1}, {"cap.K", 1}}),
            "switch 'cap.K' of faprompt is given twice, once as 'cap.K'; give it once");
  EXPECT_THAT(error_of("anomalyclip", {{"global", false}, {"lambda", 0}}),
              HasSubstr("are all off, expected one of them on, or 'train.epochs = 0'"));
  EXPECT_EQ(error_of("anomalyclip", {{"global", false}, {"lambda", 0}, {"epochs", 0}}), "");
  EXPECT_THAT(error_of("faprompt", {{"M", 1370}}), HasSubstr("expected at most 1369, the patches"));
  EXPECT_EQ(error_of("anomalyclip", {{"first_block", 25}}),
            "anomalyclip: 'vis.first_block' is 25, expected at most 24, the blocks of "
            "clip-vit-l-14-336");
  EXPECT_EQ(error_of("anomalyclip", {{"deep_depth", 0}}),
            "anomalyclip: 'text.deep_depth' is 0, expected at least 1, which is off where "
            "'text.deep_mode' is 'overwrite'");
  EXPECT_EQ(error_of("faprompt", {{"deep_len", 77}}),
            "faprompt: 'text.deep_len' is 77, expected at most 76, the rows it may overwrite");
  EXPECT_EQ(error_of("faprompt", {{"E", 50}, {"E2", 24}}),
            "faprompt: 74 learned tokens ('cap.E', 'cap.Ep') in a prompt, expected at most 73: the "
            "text tower has 77 rows and the fixed words need the rest");
  EXPECT_EQ(error_of("faprompt", {{"E", 50}, {"E2", 24}, {"compound", "separate"}}), "");
  EXPECT_THROW(
      static_cast<void>(resolve_method("clip", {}, find_backbone("clip-vit-l-14-336"), 500)),
      ConfigError);
}

}  // namespace
}  // namespace assay
