#include "registry/catalogue_entry.h"

#include "core/error.h"

#include <fmt/ranges.h>

namespace assay {
namespace {

constexpr std::int64_t kContext = 77;     // Rows of every CLIP's text tower.
constexpr std::int64_t kFixedRows = 4;    // Start token, `object`, `.`, end token.
constexpr std::int64_t kDeadWidth = 896;  // Of the unused projections, whatever the backbone.

}  // namespace

using Json = nlohmann::json;

std::vector<SwitchDescription> common_switches() {
  return {
      {.name = "prompt.words",
       .meaning = "[cls] strings of class-aware prompts: the papers', readable ones, or a CSV file "
                  "with the columns dataset, category, word",
       .example = "default",
       .choices = {"default", "readable"},
       .may_be_table = true},
      {.name = "vis.activation",
       .meaning = "activation of the MLPs of both towers",
       .example = "quick_gelu",
       .choices = {"quick_gelu", "gelu"}},
      {.name = "vis.pos_resize",
       .meaning = "resize of the position table to another grid",
       .example = "bilinear",
       .choices = {"bilinear", "bicubic", "bicubic_aa"}},
      {.name = "infer.sigma",
       .meaning = "Gaussian of the anomaly map in px of image_size, 0 = none",
       .example = 4.0,
       .minimum = 0},
  };
}

std::map<std::string, Json> common_values(double sigma) {
  return {{"prompt.words", "default"},
          {"vis.activation", "quick_gelu"},
          {"vis.pos_resize", "bilinear"},
          {"infer.sigma", sigma}};
}

std::vector<SwitchDescription> training_switches() {
  return {
      {.name = "train.split",
       .meaning = "images of the auxiliary set: all = train and test, or test",
       .example = "test",
       .choices = {"all", "test"}},
      {.name = "train.no_mask",
       .meaning = "images of sets without masks: no pixel term (skip), or a mask of zeros (zero)",
       .example = "skip",
       .choices = {"skip", "zero"}},
      {.name = "train.image_terms",
       .meaning = "image-level loss on a list of one label: off (auto), or on",
       .example = "auto",
       .choices = {"auto", "on"}},
      {.name = "train.epochs",
       .meaning = "epochs; 0: the initial parameters are the checkpoint",
       .example = 15,
       .minimum = 0},
      {.name = "train.batch", .meaning = "images a step", .example = 8, .minimum = 1},
      {.name = "train.lr", .meaning = "learning rate of Adam", .example = 1e-3, .minimum = 0},
      {.name = "train.select",
       .meaning = "epoch that is the checkpoint",
       .example = "last",
       .choices = {"last"}},
  };
}

std::map<std::string, Json> training_values(std::int64_t epochs,
                                            std::int64_t batch,
                                            double learning_rate,
                                            const char* split) {
  return {{"train.split", split},   {"train.no_mask", "skip"}, {"train.image_terms", "auto"},
          {"train.epochs", epochs}, {"train.batch", batch},    {"train.lr", learning_rate},
          {"train.select", "last"}};
}

std::vector<SwitchDescription> learned_text_switches() {
  return {
      {.name = "text.deep_depth",
       .meaning = "deep prompts up to this text block; 1 = off (concat: 0)",
       .example = 9,
       .minimum = 0},
      {.name = "text.deep_len", .meaning = "rows of a deep prompt", .example = 4, .minimum = 1},
      {.name = "text.deep_mode",
       .meaning = "deep prompts overwrite rows 1.., or stand before row 0",
       .example = "overwrite",
       .choices = {"overwrite", "concat"}},
      {.name = "text.deep_fp16",
       .meaning = "deep prompts pass through half precision, forward and backward",
       .example = "off",
       .choices = {"off", "fwd_bwd"}},
      {.name = "text.temperature",
       .meaning = "divides cosines before the softmax",
       .example = 0.07,
       .minimum = 1e-6},
  };
}

std::map<std::string, Json> learned_text_values(const char* deep_fp16) {
  return {{"text.deep_depth", 9},
          {"text.deep_len", 4},
          {"text.deep_mode", "overwrite"},
          {"text.deep_fp16", deep_fp16},
          {"text.temperature", 0.07}};
}

void erase(Json& switches, std::initializer_list<const char*> names) {
  for (const char* name : names) switches.erase(name);
}

bool deep_prompts_on(const Json& switches) {
  const bool concat = switches.at("text.deep_mode") == "concat";
  return switches.at("text.deep_depth").get<std::int64_t>() > (concat ? 0 : 1);
}

void erase_idle_text_and_training(Json& switches) {
  if (!deep_prompts_on(switches)) {
    erase(switches, {"text.deep_depth", "text.deep_len", "text.deep_mode", "text.deep_fp16"});
  }
  if (switches.at("train.epochs") != 0) return;
  for (auto entry = switches.begin(); entry != switches.end();) {
    const bool idle = entry.key().starts_with("loss.") ||
                      (entry.key().starts_with("train.") && entry.key() != "train.epochs");
    entry = idle ? switches.erase(entry) : std::next(entry);
  }
}

void check_learned_text(const std::string& method,
                        const Json& switches,
                        const BackboneDescription& backbone,
                        std::int64_t learned,
                        const std::string& switches_named) {
  const auto depth = switches.at("text.deep_depth").get<std::int64_t>();
  const auto length = switches.at("text.deep_len").get<std::int64_t>();
  const bool concat = switches.at("text.deep_mode") == "concat";
  if (depth > backbone.text_layers) {
    throw ConfigError("{}: 'text.deep_depth' is {}, expected at most {}, the text blocks of {}",
                      method, depth, backbone.text_layers, backbone.name);
  }
  if (depth == 0 && !concat) {
    throw ConfigError(
        "{}: 'text.deep_depth' is 0, expected at least 1, which is off where 'text.deep_mode' is "
        "'overwrite'",
        method);
  }
  if (!concat && length > kContext - 1) {
    throw ConfigError("{}: 'text.deep_len' is {}, expected at most {}, the rows it may overwrite",
                      method, length, kContext - 1);
  }
  if (learned > kContext - kFixedRows) {
    throw ConfigError(
        "{}: {} learned tokens ({}) in a prompt, expected at most {}: the text tower has {} rows "
        "and the fixed words need the rest",
        method, learned, switches_named, kContext - kFixedRows, kContext);
  }
}

std::int64_t num_deep_prompts(const Json& switches) {
  if (!deep_prompts_on(switches)) return 0;
  return switches.at("text.deep_depth").get<std::int64_t>() -
         (switches.at("text.deep_mode") == "concat" ? 0 : 1);
}

ParameterCounts learned_text_parameters(const Json& switches,
                                        const BackboneDescription& backbone,
                                        std::int64_t tokens) {
  const std::int64_t width = backbone.text_width, deep = num_deep_prompts(switches);
  const std::int64_t trained =
      (tokens + deep * switches.at("text.deep_len").get<std::int64_t>()) * width;
  return {.trained = trained, .registered = trained + deep * (width + 1) * kDeadWidth};
}

std::vector<std::string> overwritten_words(const Json& switches,
                                           std::int64_t normal,
                                           std::int64_t abnormal) {
  if (!deep_prompts_on(switches) || switches.at("text.deep_mode") == "concat") return {};
  const auto length = switches.at("text.deep_len").get<std::int64_t>();
  std::vector<std::string> prompts;
  if (normal < length) {
    prompts.push_back(fmt::format("of the normal prompt from row {} on", normal + 1));
  }
  if (abnormal < length) {
    prompts.push_back(fmt::format("of the abnormal prompts from row {} on", abnormal + 1));
  }
  if (prompts.empty()) return {};
  return {fmt::format(
      "deep prompts overwrite rows 1 to {} in text block 2 and with them fixed words, those {}: "
      "legal, as in the release, but they act through block 1 alone",
      length, fmt::join(prompts, " and "))};
}

}  // namespace assay
