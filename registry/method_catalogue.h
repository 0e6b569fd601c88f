#pragma once

#include "registry/backbone_catalogue.h"
#include "registry/feature_spec.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// A named difference between variants of a method: paper against release, or a row of an ablation.
struct SwitchDescription {
  std::string name;     ///< `dap.select`, as `spec/methods-seeds.md` 3.8 and `spec/ablations.md` 1
                        ///< spell it.
  std::string meaning;  ///< One line for `assay methods`.
  nlohmann::json example = {};  ///< A value of the right JSON type; a list has this length unless
                                ///< `is_set`.
  std::vector<nlohmann::json> choices = {};  ///< Where not empty: the only legal values.
  double minimum = -1e300, maximum = 1e300;  ///< Of numbers, inclusive.
  bool is_set = false;                       ///< A list of any length; one entry may stand alone.
  std::vector<std::string> keywords = {};    ///< Words for a value of the backbone: `auto`, `last`,
                                             ///< `quarters`.
  bool may_be_table = false;                 ///< An object of strings stands for a file's content.
};

/// A printed row of an ablation table: switches on top of a preset (`spec/ablations.md` 2). A study
/// names it as the axis `row`.
struct AblationRow {
  std::string name;     ///< The `setting` of the published numbers: `cap_wo_loc`.
  std::string printed;  ///< Where: `T4, T17, T18`; `ours` where nowhere.
  std::map<std::string, nlohmann::json> switches = {};  ///< By full name; may be empty.
  std::string note = {};                                ///< What a reader of its numbers must know.
};

/// What a study can say about a method: data without LibTorch, for planning and for `assay
/// methods`.
struct MethodDescription {
  std::string name;
  std::string paper;    ///< Title, year.
  bool trained = true;  ///< False: no train job.
  /// Inference reads of the parameters one normal and one abnormal text alone, which an ensemble
  /// may average (`Method::average_texts`).
  bool two_texts = false;
  /// The released code encodes all its prompts again for each test image (profile jobs).
  bool texts_per_image = false;
  std::vector<SwitchDescription> switches;
  std::map<std::string, std::map<std::string, nlohmann::json>>
      presets;  ///< `paper`, `released`, ...: all switches.
  std::string default_preset;
  std::map<std::string, std::string> short_names;  ///< `K` -> `cap.K`.
  std::vector<AblationRow> rows = {};
};

/// Numbers that a method learns, on one backbone (`spec/methods-baselines.md` 14).
struct ParameterCounts {
  std::int64_t trained = 0;     ///< Those that get gradients.
  std::int64_t registered = 0;  ///< As the papers count: with what the release never uses.
  bool operator==(const ParameterCounts&) const = default;
};

/// A method with every switch resolved: what a job's identity holds.
struct ResolvedMethod {
  std::string method, preset;
  nlohmann::json switches = {};   ///< Object, every switch of the method with its value.
  nlohmann::json effective = {};  ///< Less those without effect under the others (identity).
  nlohmann::json training = {};   ///< What of `effective` reaches the checkpoint: identity of a
                                  ///< train job (`infer.sigma` does not, nor `prompt.object_test`).
  nlohmann::json params = {};     ///< Only what the study changed, by full name, and `row`.
  FeatureSpec features = {};      ///< What it reads of the backbone at test.
  FeatureSpec training_features = {};  ///< And in training, where losses may need less.
  bool trained = true;
  ParameterCounts parameters = {};
  std::vector<std::string> notes = {};  ///< What is legal and may surprise, for `assay plan`.
};

[[nodiscard]] const std::vector<MethodDescription>& methods();
/// Throws ConfigError with the known names and the nearest one.
[[nodiscard]] const MethodDescription& find_method(std::string_view name);

/// Resolves `method` or `method:preset` with overrides (switch, unique last component or short name
/// -> value; `row` -> the name of one) on a backbone at `image_size` px. A row's switches are
/// defaults as a preset's are: overrides win. Defaults that depend on the backbone follow from it:
/// layers given as the last block or quarters, the first V-V block, GELU where the weights need it,
/// deep prompts no deeper than the text tower, and on `assay-tiny` sigma (px at 518) times
/// image_size / 518. Throws ConfigError naming the switch, what was expected and the nearest name.
[[nodiscard]] ResolvedMethod resolve_method(std::string_view name_and_preset,
                                            const std::map<std::string, nlohmann::json>& overrides,
                                            const BackboneDescription& backbone,
                                            std::int64_t image_size);

}  // namespace assay
