#include "core/error.h"
#include "registry/catalogue_entry.h"

namespace assay {
namespace {

using Json = nlohmann::json;

void check(const Json& switches, const BackboneDescription& /*backbone*/, std::int64_t /*size*/) {
  if (switches.at("vis.layers").size() != 1) {
    throw ConfigError("clip: 'vis.layers' is {}, expected one block: one block scores",
                      switches.at("vis.layers").dump());
  }
}

Json effective(Json switches) { return switches; }

Json training(Json /*effective*/) { return Json::object(); }

FeatureSpec features(const Json& switches,
                     const BackboneDescription& backbone,
                     std::int64_t image_size) {
  return {.backbone = backbone.name,
          .image_size = image_size,
          .streams = {"qk"},
          .first_block = 0,
          .layers = switches.at("vis.layers").get<std::vector<std::int64_t>>(),
          .cls_ln_post = true,  // spec/methods-baselines.md 4: ln_post on every token.
          .activation = switches.at("vis.activation"),
          .pos_resize = switches.at("vis.pos_resize")};
}

}  // namespace

// spec/methods-baselines.md 4, spec/ablations.md 1.7. Neither paper of the seeds released it:
// `paper` and `released` are one.
CatalogueEntry clip_entry() {
  MethodDescription clip{
      .name = "clip",
      .paper = "Learning Transferable Visual Models From Natural Language Supervision, 2021",
      .trained = false,
      .switches =
          {
              {.name = "prompts.normal",
               .meaning = "text of a normal image; [cls] is the category",
               .example = "A photo of a normal [cls]"},
              {.name = "prompts.abnormal",
               .meaning = "text of an anomalous image",
               .example = "A photo of an anomalous [cls]"},
              {.name = "text.temperature",
               .meaning = "divides cosines before the softmax",
               .example = 0.07,
               .minimum = 1e-6},
              {.name = "vis.layers",
               .meaning = "block whose patch tokens score",
               .example = {24},
               .minimum = 1,
               .is_set = true,
               .keywords = {"last"}},
          },
      .presets = {},
      .default_preset = "paper",
      .short_names = {}};
  for (SwitchDescription& common : common_switches()) clip.switches.push_back(std::move(common));
  std::map<std::string, Json> values = common_values(/*sigma=*/4);
  values["prompts.normal"] = "A photo of a normal [cls]";
  values["prompts.abnormal"] = "A photo of an anomalous [cls]";
  values["text.temperature"] = 0.07;
  values["vis.layers"] = "last";
  clip.presets = {{"paper", values}, {"released", values}};
  return {std::move(clip), check, effective, training, features};
}

}  // namespace assay
