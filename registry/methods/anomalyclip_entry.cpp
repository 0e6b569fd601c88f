#include "core/error.h"
#include "registry/catalogue_entry.h"

#include <algorithm>

namespace assay {
namespace {

using Json = nlohmann::json;

bool class_aware(const Json& switches, const char* phase) { return switches.at(phase) == "cls"; }

bool has_local_loss(const Json& switches) {
  return switches.at("loss.lambda") != 0.0 &&
         (switches.at("loss.focal") == true || switches.at("loss.dice") == true);
}

void check(const Json& switches, const BackboneDescription& backbone, std::int64_t /*size*/) {
  check_learned_text("anomalyclip", switches, backbone, switches.at("prompt.E"), "'prompt.E'");
  const auto first = switches.at("vis.first_block").get<std::int64_t>();
  if (first > backbone.vision_layers) {
    throw ConfigError("anomalyclip: 'vis.first_block' is {}, expected at most {}, the blocks of {}",
                      first, backbone.vision_layers, backbone.name);
  }
  if (switches.at("loss.global") == false && !has_local_loss(switches) &&
      switches.at("train.epochs") != 0) {
    throw ConfigError(
        "anomalyclip: 'loss.global', 'loss.focal' and 'loss.dice' are all off, expected one of "
        "them on, or 'train.epochs = 0'");
  }
}

bool side_streams_tapped(const Json& switches) {
  const auto streams = switches.at("vis.attention").get<std::vector<std::string>>();
  const auto layers = switches.at("vis.layers").get<std::vector<std::int64_t>>();
  return streams != std::vector<std::string>{"qk"} &&
         layers.back() >= switches.at("vis.first_block").get<std::int64_t>();
}

Json effective(Json switches) {
  const bool trains = switches.at("train.epochs") != 0;
  if (!(trains && class_aware(switches, "prompt.object_train")) &&
      !class_aware(switches, "prompt.object_test")) {
    erase(switches, {"prompt.words"});
  }
  if (!side_streams_tapped(switches)) {
    // Every stream is the plain one below the first block with side streams.
    switches["vis.attention"] = {"qk"};
    erase(switches, {"vis.first_block"});
  }
  if (!has_local_loss(switches)) {
    switches["loss.lambda"] = 0.0;
    erase(switches, {"loss.focal", "loss.dice"});
  }
  erase_idle_text_and_training(switches);
  if (!trains) erase(switches, {"prompt.object_train"});
  return switches;
}

Json training(Json effective) {
  const bool words = effective.value("prompt.object_train", "") == "cls";
  erase(effective, {"infer.sigma", "prompt.object_test"});
  if (!effective.contains("loss.focal")) {  // No local loss: patches are not read.
    erase(effective, {"vis.attention", "vis.first_block", "vis.layers"});
  }
  if (!words) erase(effective, {"prompt.words"});
  return effective;
}

FeatureSpec features(const Json& switches,
                     const BackboneDescription& backbone,
                     std::int64_t image_size) {
  FeatureSpec spec{.backbone = backbone.name,
                   .image_size = image_size,
                   .streams = {"qk"},
                   .first_block = 0,
                   .layers = switches.at("vis.layers").get<std::vector<std::int64_t>>(),
                   .cls_ln_post = switches.at("vis.cls_ln_post"),
                   .activation = switches.at("vis.activation"),
                   .pos_resize = switches.at("vis.pos_resize")};
  if (side_streams_tapped(switches)) {
    spec.streams = switches.at("vis.attention").get<std::vector<std::string>>();
    spec.first_block = switches.at("vis.first_block").get<std::int64_t>();
  }
  return spec;
}

// Without a local loss only the class token counts, which all features hold: those of most
// variants.
FeatureSpec training_features(const Json& switches,
                              const BackboneDescription& backbone,
                              std::int64_t image_size) {
  FeatureSpec spec = features(switches, backbone, image_size);
  if (has_local_loss(switches) && switches.at("train.epochs") != 0) return spec;
  spec.streams = {"vv"};
  spec.first_block = backbone.first_vv_block;
  spec.layers = {backbone.vision_layers};
  return spec;
}

// spec/methods-seeds.md 2.
ParameterCounts parameters(const Json& switches, const BackboneDescription& backbone) {
  const std::int64_t contexts = switches.at("prompt.shared") == true ? 1 : 2;
  return learned_text_parameters(switches, backbone,
                                 contexts * switches.at("prompt.E").get<std::int64_t>());
}

std::vector<std::string> notes(const Json& switches) {
  const auto learned = switches.at("prompt.E").get<std::int64_t>();
  return overwritten_words(switches, learned, learned);
}

using Switches = std::map<std::string, Json>;

// spec/ablations.md 2.2, from `paper`. Several tables print the full model under a name of their
// own; under `released` the rows about layers are the full model too.
std::vector<AblationRow> rows() {
  const Switches class_aware = {{"prompt.object_train", "cls"}, {"prompt.object_test", "cls"}};
  const Switches no_local = {{"loss.focal", false}, {"loss.dice", false}};
  const Switches no_deep = {{"text.deep_depth", 1}}, one_layer = {{"vis.layers", "last"}};
  const Switches plain = {{"vis.attention", {"qk"}}};
  const auto with = [](std::initializer_list<Switches> parts) {
    Switches all;
    for (const Switches& part : parts) all.insert(part.begin(), part.end());
    return all;
  };
  const Switches plus_t1 = with({class_aware, no_deep, one_layer, no_local});
  const std::string guess = "a guess: the paper does not say what its Base is";
  std::vector<AblationRow> rows = {
      {"base", "T4", with({plus_t1, plain}), guess},
      {"base_untrained", "ours", with({plus_t1, plain, {{"train.epochs", 0}}}),
       "the other guess of what the paper's Base is; untrained, it depends on the seed"},
      {"plus_t1", "T4", plus_t1},
      {"plus_t1_t2", "T4", with({no_deep, one_layer})},
      {"plus_t1_t2_t3", "T4", one_layer},
      {"plus_t1_t2_t3_t4", "T4"},
      {"local0_global0", "T5", {{"train.epochs", 0}}, "untrained: it depends on the seed"},
      {"local0_global1", "T5", no_local},
      {"local1_global0", "T5", {{"loss.global", false}}},
      {"local1_global1", "T5"},
      {"full", "T7, T8, F5, F9"},
      {"without_t1_dpam", "T7", plain},
      {"without_dpam", "T8", plain},
      {"without_t2_object_agnostic_prompt", "T7, F5", class_aware},
      {"without_t3_text_prompt_tuning", "T7", no_deep},
      {"without_t4_multi_layer", "T7", one_layer},
      {"shared_word_embeddings", "T9", {{"prompt.shared", true}}},
      {"unshared_word_embeddings", "T9"},
      {"qk", "T10", plain},
      {"vv", "T10, F6"},
      {"qq", "F6", {{"vis.attention", {"qq"}}}},
      {"kk", "F6", {{"vis.attention", {"kk"}}}},
      {"ensemble_qq_kk_vv", "T10", {{"vis.attention", {"kk", "qq", "vv"}}}},
      {"ensemble_qk_qq_kk_vv", "T10", {{"vis.attention", {"kk", "qk", "qq", "vv"}}}},
      {"focal0_dice0", "T11", no_local},
      {"focal0_dice1", "T11", {{"loss.focal", false}}},
      {"focal1_dice0", "T11", {{"loss.dice", false}}},
      {"focal1_dice1", "T11"},
      {"re", "F9", {{"prompt.object_test", "cls"}}}};
  for (const char* word : {"damaged", "anomalous", "flawed", "defective", "blemished"}) {
    rows.push_back({std::string("token_") + word, "T13, T14", {{"prompt.abnormal_word", word}}});
  }
  return rows;
}

std::vector<SwitchDescription> own_switches() {
  return {
      {.name = "prompt.object_train",
       .meaning = "what the prompts name in training: the word object, or the category",
       .example = "object",
       .choices = {"object", "cls"}},
      {.name = "prompt.object_test",
       .meaning = "the same at test",
       .example = "object",
       .choices = {"object", "cls"}},
      {.name = "prompt.abnormal_word",
       .meaning = "fixed words before the object of the abnormal prompt, may be empty",
       .example = "damaged"},
      {.name = "prompt.shared",
       .meaning = "one set of learned tokens in both prompts",
       .example = false},
      {.name = "prompt.E", .meaning = "learned tokens of a prompt", .example = 12, .minimum = 1},
      {.name = "vis.attention",
       .meaning = "streams that give patch features; logits of several are averaged",
       .example = {"vv"},
       .choices = {"qk", "qq", "kk", "vv"},
       .is_set = true},
      {.name = "vis.first_block",
       .meaning = "first block with side streams (auto: first tap)",
       .example = 6,
       .minimum = 1,
       .keywords = {"auto"}},
      {.name = "vis.layers",
       .meaning = "blocks whose patch features are used, each with its own loss and map",
       .example = {24},
       .minimum = 1,
       .is_set = true,
       .keywords = {"last", "quarters"}},
      {.name = "vis.cls_ln_post",
       .meaning = "the class token passes ln_post before the projection",
       .example = false},
      {.name = "loss.lambda", .meaning = "weight of the local loss", .example = 4.0, .minimum = 0},
      {.name = "loss.global", .meaning = "cross-entropy of the image logits", .example = true},
      {.name = "loss.focal", .meaning = "focal loss of the maps", .example = true},
      {.name = "loss.dice", .meaning = "Dice losses of the maps", .example = true},
  };
}

}  // namespace

// spec/methods-seeds.md 2, spec/methods-baselines.md 11, spec/ablations.md 1.3.
CatalogueEntry anomalyclip_entry() {
  MethodDescription method{
      .name = "anomalyclip",
      .paper = "AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly Detection, 2024",
      .trained = true,
      .two_texts = true,
      .switches = own_switches(),
      .presets = {},
      .default_preset = "paper",
      .short_names = {{"E", "prompt.E"}},
      .rows = rows()};
  for (const auto& more : {learned_text_switches(), training_switches(), common_switches()}) {
    method.switches.insert(method.switches.end(), more.begin(), more.end());
  }
  std::map<std::string, Json> paper = {{"prompt.object_train", "object"},
                                       {"prompt.object_test", "object"},
                                       {"prompt.abnormal_word", "damaged"},
                                       {"prompt.shared", false},
                                       {"prompt.E", 12},
                                       {"vis.attention", {"vv"}},
                                       {"vis.first_block", "auto"},
                                       {"vis.layers", "quarters"},
                                       {"vis.cls_ln_post", false},
                                       {"loss.lambda", 1.0},
                                       {"loss.global", true},
                                       {"loss.focal", true},
                                       {"loss.dice", true}};
  paper.merge(learned_text_values(/*deep_fp16=*/"off"));
  paper.merge(training_values(/*epochs=*/15, /*batch=*/8, /*learning_rate=*/1e-3, "test"));
  paper.merge(common_values(/*sigma=*/4));
  std::map<std::string, Json> released = paper;
  released["text.deep_fp16"] = "fwd_bwd";
  released["vis.layers"] = "last";
  released["loss.lambda"] = 4.0;
  method.presets = {{"paper", std::move(paper)}, {"released", std::move(released)}};
  return {std::move(method), check,      effective, training,
          features,          parameters, notes,     training_features};
}

}  // namespace assay
