#include "core/error.h"
#include "registry/catalogue_entry.h"

#include <algorithm>

namespace assay {
namespace {

using Json = nlohmann::json;

bool is_on(const Json& weight) { return weight != 0.0; }

bool learns_something(const Json& switches) {
  const bool dap = switches.at("dap.enabled").get<bool>();
  const bool prototypes = switches.at("cap.K") != 1;
  return is_on(switches.at("loss.local_weights")[0]) ||
         (dap && is_on(switches.at("loss.local_weights")[1])) ||
         is_on(switches.at("loss.ce_weight")) || is_on(switches.at("loss.focal_weight")) ||
         (prototypes && is_on(switches.at("loss.oc_weight"))) ||
         (dap && is_on(switches.at("loss.prior_weight")));
}

// Learned rows of an abnormality prompt.
std::int64_t abnormal_tokens(const Json& switches) {
  const auto own = switches.at("cap.Ep").get<std::int64_t>();
  const bool shared = switches.at("cap.compound") == "shared";
  return own + (shared ? switches.at("cap.E").get<std::int64_t>() : 0);
}

void check(const Json& switches, const BackboneDescription& backbone, std::int64_t image_size) {
  const auto normal = switches.at("cap.E").get<std::int64_t>();
  check_learned_text("faprompt", switches, backbone, std::max(normal, abnormal_tokens(switches)),
                     "'cap.E', 'cap.Ep'");
  const std::int64_t grid = image_size / backbone.patch;
  if (switches.at("dap.enabled") == true && switches.at("dap.M") > grid * grid) {
    throw ConfigError("faprompt: 'dap.M' is {}, expected at most {}, the patches of {} at {} px",
                      switches.at("dap.M").get<std::int64_t>(), grid * grid, backbone.name,
                      image_size);
  }
  if (switches.at("train.epochs") != 0 && !learns_something(switches)) {
    throw ConfigError(
        "faprompt: the weights of all 'loss.*' terms are 0, expected one that is not, or "
        "'train.epochs = 0'");
  }
}

Json effective(Json switches) {
  erase(switches, {"count.dead_params", "prompt.words"});
  if (switches.at("dap.enabled") == false) {
    erase(switches,
          {"dap.M", "dap.select", "dap.unit_tokens", "loss.prior_weight", "loss.prior_reduce"});
    switches["loss.local_weights"][1] = 0.0;  // There is no refined map: its maximum is m1.
    Json& mix = switches["score.max_mix"];
    mix = {mix[0].get<double>() + mix[1].get<double>(), 0.0};
  } else if (!is_on(switches.at("loss.prior_weight"))) {
    erase(switches, {"loss.prior_reduce"});
  }
  if (switches.at("cap.K") == 1) {
    erase(switches, {"loss.oc_weight", "loss.oc_pairs"});  // No pair.
  } else if (!is_on(switches.at("loss.oc_weight"))) {
    erase(switches, {"loss.oc_pairs"});
  }
  if (!is_on(switches.at("loss.focal_weight"))) erase(switches, {"loss.focal_input"});
  if (!is_on(switches.at("score.max_weight"))) erase(switches, {"score.max_mix"});
  erase_idle_text_and_training(switches);
  return switches;
}

Json training(Json effective) {
  const bool trains_score =
      effective.contains("loss.focal_weight") && is_on(effective.at("loss.focal_weight"));
  erase(effective, {"infer.sigma"});
  if (!trains_score) erase(effective, {"score.max_weight", "score.max_mix"});
  return effective;
}

// V-V from the first tap on, last block only (spec/methods-seeds.md 1.4, 3.8).
FeatureSpec features(const Json& switches,
                     const BackboneDescription& backbone,
                     std::int64_t image_size) {
  return {.backbone = backbone.name,
          .image_size = image_size,
          .streams = {"vv"},
          .first_block = backbone.first_vv_block,
          .layers = {backbone.vision_layers},
          .cls_ln_post = switches.at("vis.cls_ln_post"),
          .activation = switches.at("vis.activation"),
          .pos_resize = switches.at("vis.pos_resize")};
}

// spec/methods-seeds.md 3.2.
ParameterCounts parameters(const Json& switches, const BackboneDescription& backbone) {
  const auto value = [&](const char* name) { return switches.at(name).get<std::int64_t>(); };
  ParameterCounts counts = learned_text_parameters(
      switches, backbone, value("cap.E") + value("cap.K") * value("cap.Ep"));
  if (switches.at("dap.enabled") == true) {
    const std::int64_t in = backbone.joint * value("dap.M"), hidden = in / 16;
    const std::int64_t psi = (in + 1) * hidden + (hidden + 1) * backbone.text_width;
    counts.trained += psi;
    counts.registered += psi;
  }
  if (switches.at("count.dead_params") == false) counts.registered = counts.trained;
  return counts;
}

std::vector<std::string> notes(const Json& switches) {
  return overwritten_words(switches, switches.at("cap.E"), abnormal_tokens(switches));
}

using Switches = std::map<std::string, Json>;

Switches with(Switches switches, const Switches& more) {
  for (const auto& [name, value] : more) switches[name] = value;
  return switches;
}

// spec/ablations.md 2.1. Cells with two values are those of the preset, `paper` or `released`; a
// module's row is the full model less the other module, or (`_on_base`) Base and the module.
std::vector<AblationRow> rows() {
  const Switches without_dap = {{"dap.enabled", false},
                                {"loss.prior_weight", 0.0},
                                {"loss.local_weights", {1.0, 0.0}},
                                {"score.max_mix", {1.0, 0.0}}};
  const Switches without_cap = {{"cap.K", 1},
                                {"cap.E", 12},
                                {"cap.Ep", 12},
                                {"cap.compound", "separate"},
                                {"cap.suffix_word", "damaged"},
                                {"loss.oc_weight", 0.0}};
  const Switches as_anomalyclip = {{"loss.ce_weight", 1.0},
                                   {"loss.focal_weight", 0.0},
                                   {"score.max_weight", 0.0},
                                   {"score.max_mix", {1.0, 0.0}},
                                   {"text.deep_fp16", "fwd_bwd"}};
  const Switches its_training = {
      {"train.split", "test"}, {"train.epochs", 15}, {"infer.sigma", 4.0}};
  const Switches cap_on_base = with(with(without_dap, as_anomalyclip),
                                    with(its_training, {{"loss.local_weights", {4.0, 0.0}}}));
  const Switches base_matched = with(with(without_cap, without_dap),
                                     with(as_anomalyclip, {{"loss.local_weights", {4.0, 0.0}}}));
  const Switches dap_on_base = with(with(without_cap, as_anomalyclip),
                                    with(its_training, {{"loss.local_weights", {4.0, 4.0}}}));
  const Switches no_oc = {{"loss.oc_weight", 0.0}}, no_prior = {{"loss.prior_weight", 0.0}};
  const char* const tables = "T4, T17, T18";
  return {
      {.name = "base", .printed = "T3, T4, T17, T18", .switches = with(base_matched, its_training)},
      {.name = "base_matched", .printed = "ours", .switches = base_matched},
      {.name = "cap", .printed = tables, .switches = without_dap},
      {.name = "cap_wo_loc", .printed = tables, .switches = with(without_dap, no_oc)},
      {.name = "dap", .printed = tables, .switches = without_cap},
      {.name = "dap_wo_lprior", .printed = tables, .switches = with(without_cap, no_prior)},
      {.name = "faprompt", .printed = "T3, T4, T17, T18"},
      {.name = "cap_on_base", .printed = "ours", .switches = cap_on_base},
      {.name = "cap_wo_loc_on_base", .printed = "ours", .switches = with(cap_on_base, no_oc)},
      {.name = "dap_on_base", .printed = "ours", .switches = dap_on_base},
      {.name = "dap_wo_lprior_on_base",
       .printed = "ours",
       .switches = with(dap_on_base, no_prior)}};
}

std::vector<SwitchDescription> own_switches() {
  return {
      {.name = "cap.K", .meaning = "abnormality prompts", .example = 10, .minimum = 1},
      {.name = "cap.E", .meaning = "learned normal tokens", .example = 5, .minimum = 1},
      {.name = "cap.Ep", .meaning = "learned abnormal tokens", .example = 2, .minimum = 1},
      {.name = "cap.suffix_word",
       .meaning = "fixed words after the learned tokens of an abnormality prompt, may be empty",
       .example = "damaged"},
      {.name = "cap.compound",
       .meaning = "abnormality prompts begin with the normal tokens (shared), or not (separate)",
       .example = "shared",
       .choices = {"shared", "separate"}},
      {.name = "dap.enabled", .meaning = "abnormality prior from image patches", .example = true},
      {.name = "dap.M", .meaning = "patches that the prior reads", .example = 10, .minimum = 1},
      {.name = "dap.select",
       .meaning = "which patches: the most abnormal ones, or the first in raster order",
       .example = "topm",
       .choices = {"topm", "raster"}},
      {.name = "dap.unit_tokens",
       .meaning = "the prior reads patches scaled to unit length",
       .example = true},
      {.name = "loss.oc_weight",
       .meaning = "weight of the orthogonality of abnormality prompts",
       .example = 1.0,
       .minimum = 0},
      {.name = "loss.oc_pairs",
       .meaning = "sum over i != j (ordered), or i < j (unordered)",
       .example = "ordered",
       .choices = {"ordered", "unordered"}},
      {.name = "loss.prior_weight",
       .meaning = "weight of the prior of normal images",
       .example = 1.0,
       .minimum = 0},
      {.name = "loss.prior_reduce",
       .meaning = "sum or mean of the prior's squares over its dimensions",
       .example = "sum",
       .choices = {"sum", "mean"}},
      {.name = "loss.local_weights",
       .meaning = "weights of the local loss on the base and the refined map",
       .example = {1.0, 1.0},
       .minimum = 0},
      {.name = "loss.ce_weight",
       .meaning = "weight of the cross-entropy of the image logits",
       .example = 0.0,
       .minimum = 0},
      {.name = "loss.focal_weight",
       .meaning = "weight of the focal loss on the image score",
       .example = 1.0,
       .minimum = 0},
      {.name = "loss.focal_input",
       .meaning = "the focal loss takes the score as a probability, or as a logit",
       .example = "prob",
       .choices = {"prob", "logit"}},
      {.name = "score.max_weight",
       .meaning = "share of the maps' maxima in the image score",
       .example = 0.5,
       .minimum = 0,
       .maximum = 1},
      {.name = "score.max_mix",
       .meaning = "weights of the maxima of the base and the refined map",
       .example = {0.5, 0.5},
       .minimum = 0},
      {.name = "vis.cls_ln_post",
       .meaning = "the class token passes ln_post before the projection",
       .example = false},
      {.name = "count.dead_params",
       .meaning = "reported counts hold the projections that the release never uses",
       .example = true},
  };
}

}  // namespace

// spec/methods-seeds.md 3.8.
CatalogueEntry faprompt_entry() {
  MethodDescription method{
      .name = "faprompt",
      .paper = "Fine-grained Abnormality Prompt Learning for Zero-shot Anomaly Detection, 2024",
      .trained = true,
      .texts_per_image = true,
      .switches = own_switches(),
      .presets = {},
      .default_preset = "paper",
      .short_names = {{"K", "cap.K"}, {"M", "dap.M"}, {"E", "cap.E"}, {"E2", "cap.Ep"}},
      .rows = rows()};
  for (const auto& more : {learned_text_switches(), training_switches(), common_switches()}) {
    method.switches.insert(method.switches.end(), more.begin(), more.end());
  }
  std::map<std::string, Json> paper = {{"cap.K", 10},
                                       {"cap.E", 5},
                                       {"cap.Ep", 2},
                                       {"cap.suffix_word", ""},
                                       {"cap.compound", "shared"},
                                       {"dap.enabled", true},
                                       {"dap.M", 10},
                                       {"dap.select", "topm"},
                                       {"dap.unit_tokens", true},
                                       {"loss.oc_weight", 1.0},
                                       {"loss.oc_pairs", "ordered"},
                                       {"loss.prior_weight", 1.0},
                                       {"loss.prior_reduce", "sum"},
                                       {"loss.local_weights", {1.0, 1.0}},
                                       {"loss.ce_weight", 0.0},
                                       {"loss.focal_weight", 1.0},
                                       {"loss.focal_input", "prob"},
                                       {"score.max_weight", 0.5},
                                       {"score.max_mix", {0.5, 0.5}},
                                       {"vis.cls_ln_post", false},
                                       {"count.dead_params", true}};
  paper.merge(learned_text_values(/*deep_fp16=*/"off"));
  paper.merge(training_values(/*epochs=*/7, /*batch=*/8, /*learning_rate=*/1e-3, "all"));
  paper.merge(common_values(/*sigma=*/10));

  std::map<std::string, Json> released = paper;
  released["cap.suffix_word"] = "damaged";
  released["dap.select"] = "raster";
  released["loss.oc_weight"] = 0.1;
  released["loss.oc_pairs"] = "unordered";
  released["loss.prior_reduce"] = "mean";
  released["loss.local_weights"] = {1.0, 0.5};
  released["loss.ce_weight"] = 1.0;
  released["loss.focal_input"] = "logit";
  released["score.max_mix"] = {2.0 / 3.0, 1.0 / 3.0};
  released["text.deep_fp16"] = "fwd_bwd";
  released["train.split"] = "test";

  std::map<std::string, Json> released_v0 = released;  // The first upload, 3.7 row 17.
  released_v0["cap.Ep"] = 1;
  released_v0["loss.ce_weight"] = 0.0;
  released_v0["train.epochs"] = 15;

  std::map<std::string, Json> paper_fixed = released;  // The indexing slip alone, 3.8.
  paper_fixed["dap.select"] = "topm";

  method.presets = {{"paper", std::move(paper)},
                    {"paper_fixed", std::move(paper_fixed)},
                    {"released", std::move(released)},
                    {"released_v0", std::move(released_v0)}};
  return {std::move(method), check, effective, training, features, parameters, notes};
}

}  // namespace assay
