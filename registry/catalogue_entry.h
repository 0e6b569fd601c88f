#pragma once

#include "registry/method_catalogue.h"

#include <initializer_list>
#include <vector>

namespace assay {

/// A method in the catalogue: its description, and the rules that a list of switches cannot say.
/// The functions get complete switches without keywords.
struct CatalogueEntry {
  MethodDescription description;
  /// Throws ConfigError where the switches do not fit each other or the backbone.
  void (*check)(const nlohmann::json& switches,
                const BackboneDescription& backbone,
                std::int64_t image_size);
  /// The switches in a normal form: without those that have no effect under the others.
  nlohmann::json (*effective)(nlohmann::json switches);
  /// What of the effective switches reaches the checkpoint.
  nlohmann::json (*training)(nlohmann::json effective);
  FeatureSpec (*features)(const nlohmann::json& switches,
                          const BackboneDescription& backbone,
                          std::int64_t image_size);
  ParameterCounts (*parameters)(const nlohmann::json& switches,
                                const BackboneDescription& backbone) = nullptr;  ///< None: 0.
  std::vector<std::string> (*notes)(const nlohmann::json& switches) = nullptr;
  FeatureSpec (*training_features)(const nlohmann::json& switches,
                                   const BackboneDescription& backbone,
                                   std::int64_t image_size) = nullptr;  ///< None: `features`.
};

[[nodiscard]] CatalogueEntry anomalyclip_entry();
[[nodiscard]] CatalogueEntry clip_entry();
[[nodiscard]] CatalogueEntry faprompt_entry();

// What several entries share.

/// `prompt.words`, `vis.activation`, `vis.pos_resize`, `infer.sigma` (`spec/ablations.md` 1.0).
[[nodiscard]] std::vector<SwitchDescription> common_switches();
[[nodiscard]] std::map<std::string, nlohmann::json> common_values(double sigma);
/// The `train.*` switches of 1.0.
[[nodiscard]] std::vector<SwitchDescription> training_switches();
[[nodiscard]] std::map<std::string, nlohmann::json> training_values(std::int64_t epochs,
                                                                    std::int64_t batch,
                                                                    double learning_rate,
                                                                    const char* split);
/// `text.deep_*` and `text.temperature` (`spec/methods-seeds.md` 1.6).
[[nodiscard]] std::vector<SwitchDescription> learned_text_switches();
[[nodiscard]] std::map<std::string, nlohmann::json> learned_text_values(const char* deep_fp16);

void erase(nlohmann::json& switches, std::initializer_list<const char*> names);
/// Deep prompts are off at depth 1 (`concat`: 0); then none of their switches has an effect.
[[nodiscard]] bool deep_prompts_on(const nlohmann::json& switches);
/// Removes the switches of deep prompts that are off, and all that training alone reads where
/// `train.epochs` is 0.
void erase_idle_text_and_training(nlohmann::json& switches);
/// Throws ConfigError where deep prompts are none or reach deeper than the text tower, and where
/// `learned` tokens (of which `switches_named` tell the number) leave no room for the words.
void check_learned_text(const std::string& method,
                        const nlohmann::json& switches,
                        const BackboneDescription& backbone,
                        std::int64_t learned,
                        const std::string& switches_named);

/// Tensors of deep prompts: `overwrite` begins at block 2, `concat` at block 1.
[[nodiscard]] std::int64_t num_deep_prompts(const nlohmann::json& switches);
/// `tokens` learned rows and the deep prompts; registered also the projections that the releases
/// make for each deep prompt and never use (`spec/methods-seeds.md` 3.2).
[[nodiscard]] ParameterCounts learned_text_parameters(const nlohmann::json& switches,
                                                      const BackboneDescription& backbone,
                                                      std::int64_t tokens);
/// Says which fixed words deep prompts overwrite (`spec/methods-seeds.md` 3.9), if any: those of
/// prompts whose words follow `normal` and `abnormal` learned rows.
[[nodiscard]] std::vector<std::string> overwritten_words(const nlohmann::json& switches,
                                                         std::int64_t normal,
                                                         std::int64_t abnormal);

}  // namespace assay
