#pragma once

#include "results/published.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {

/// A value that may differ by name (method, target, data set): `"mvtec"`, or a table with
/// `default`.
template <typename T>
struct ByName {
  std::optional<T> fallback = {};  ///< Key `default`, or the plain value.
  std::map<std::string, T> by_name = {};
  bool operator==(const ByName&) const = default;

  /// The entry of `name`, else the default, else nothing.
  [[nodiscard]] std::optional<T> find(const std::string& name) const {
    const auto entry = by_name.find(name);
    return entry == by_name.end() ? fallback : std::optional<T>(entry->second);
  }
  /// As `find`, without a copy: nullptr for nothing.
  [[nodiscard]] const T* get(const std::string& name) const {
    const auto entry = by_name.find(name);
    if (entry != by_name.end()) return &entry->second;
    return fallback ? &*fallback : nullptr;
  }
  [[nodiscard]] bool has_entry(const std::string& name) const { return by_name.contains(name); }
};

/// A key of `grid` or `zip` with the values it takes: a switch of the method, `row` (of its printed
/// ablations), or `backbone`, `image_size`, `eval_size`.
struct Axis {
  std::string key = {};
  std::vector<nlohmann::json> values = {};
  std::string place = "command line";  ///< `k.toml:14`, for messages.
  bool operator==(const Axis&) const = default;
};

/// A sweep's axes, in order: each (key, value) of one variant.
using Setting = std::vector<std::pair<std::string, nlohmann::json>>;

/// Several checkpoints that judge together (`spec/ablations.md` 5.2).
struct Ensemble {
  std::int64_t n = 0;  ///< Checkpoints of each ensemble, of seeds in their order; 0: all seeds.
  std::string combine = "prototype";  ///< Or `scores`.
  bool operator==(const Ensemble&) const = default;
};

/// What is evaluated for curves besides the last epoch on the targets (`spec/ablations.md` 5.2).
struct Curves {
  std::vector<std::int64_t> epochs = {};  ///< Ascending.
  bool all_epochs = false;                ///< `epochs = "all"`.
  bool on_train = false;                  ///< On the auxiliary set's test split too.
  bool operator==(const Curves&) const = default;
};

/// One `[[sweep]]`: a method and what is varied.
struct Sweep {
  std::string method = {};                              ///< `faprompt`, `faprompt:paper`.
  std::vector<Axis> grid = {};                          ///< Crossed; the last one varies fastest.
  std::vector<Axis> zip = {};                           ///< Taken together; equal lengths.
  std::vector<Setting> exclude = {};                    ///< Left out: what agrees with one of them.
  std::optional<std::vector<std::int64_t>> seeds = {};  ///< Nothing: the study's.
  std::optional<Ensemble> ensemble = {};
  Curves eval = {};
  std::string place = {};             ///< `k.toml:9`, for messages.
  std::filesystem::path folder = {};  ///< Of the file, where relative paths of its axes start.
  bool operator==(const Sweep&) const = default;
};

/// One `[[profile]]`: what methods cost (`spec/ablations.md` 5.1).
struct ProfileRequest {
  std::vector<std::string> methods = {};  ///< `faprompt`, `faprompt:paper`.
  std::vector<std::string> forms = {"literal", "cached"};
  std::vector<std::string> phases = {"train", "infer"};
  std::int64_t batch = 8;                  ///< Images of a training step.
  std::optional<std::int64_t> steps = {};  ///< Timed; nothing: 100 of training, 200 images.
  std::int64_t warmup = 20;                ///< Steps, or images, before them.
  std::string place = {};                  ///< `k.toml:9`, for messages.
  bool operator==(const ProfileRequest&) const = default;
};

/// A seed is a number of TOML that is not negative.
inline constexpr std::int64_t kLargestSeed = std::numeric_limits<std::int64_t>::max();

/// What a person asks for: one TOML file (`design.md` 4; keys in the README).
struct Study {
  std::int64_t schema = 1;  ///< Version of the file's format.
  std::string name = {};
  ByName<std::string> backbone = {};               ///< By method. Default: clip-vit-l-14-336.
  ByName<std::int64_t> image_size = {};            ///< By method; pixels. Default: the backbone's.
  ByName<std::int64_t> eval_size = {};             ///< By method; pixels. Default: the image size.
  ByName<std::string> precision = {};              ///< By kind of job. Default: fp32.
  ByName<std::vector<std::string>> train_on = {};  ///< By target: the auxiliary sets.
  /// By target, where pixel metrics come from a training of their own (`train_on.pixel`);
  /// `train_on` then is that of image metrics.
  std::optional<ByName<std::vector<std::string>>> train_on_pixel = {};
  ByName<std::string> train_split = {};   ///< By data set: `test` or `all`. Default: the preset's.
  std::vector<std::string> targets = {};  ///< Data sets to evaluate on.
  std::vector<std::int64_t> seeds = {0};  ///< One training each.
  bool allow_overlap = false;             ///< Training images may be in a target.
  std::map<std::string, std::vector<std::string>> skip = {};  ///< Bad images of a set, by path.
  std::int64_t heatmaps = 0;  ///< `outputs.heatmaps`: pictures of each data set. Not identity.
  std::vector<PublishedTable> published_tables = {};  ///< `published_table`.
  std::vector<std::string> published =
      {};                          ///< Methods of which the table shows printed numbers only.
  std::vector<Sweep> sweeps = {};  ///< Their union: equal jobs are one.
  std::vector<ProfileRequest> profiles = {};

  // Where things lie: no part of any identity. Relative paths start at the study file's folder.
  ByName<std::filesystem::path> data = {};  ///< Folder of the sets' folders; or a set's own folder.
  std::optional<std::filesystem::path> weights = {};  ///< Folder of backbone weights.
  std::filesystem::path path = {};                    ///< The study file.
  std::string text = {};  ///< Its content; below it, as comments, its bases and the overrides.
  /// By key, `targets.visa` and `train_on.mvtec` too: `k.toml:4`, for messages.
  std::map<std::string, std::string> places = {};
  bool operator==(const Study&) const = default;

  /// Where a key stands, else the file.
  [[nodiscard]] std::string place(const std::string& key) const;

  /// Folder of a data set: its entry in `data`, else the default folder / its name.
  /// Throws ConfigError where the study names neither.
  [[nodiscard]] std::filesystem::path dataset_root(const std::string& dataset) const;
};

/// Reads a study file. Everything that needs no other file is checked: keys and types, methods,
/// presets, switches and their values, backbones, data sets, lengths of a `zip`, empty grids,
/// duplicates. Throws ConfigError: `file:line: what is wrong, what was expected`.
[[nodiscard]] Study load_study(const std::filesystem::path& path,
                               const std::vector<std::string>& overrides = {});

/// As load_study, from text; `path` stands in messages and for relative paths.
/// An override is `KEY=VALUE,...`: a study key (`seeds`, `targets`, `backbone`, ...) or a switch,
/// which then replaces this axis in every sweep whose method has it. `base = "other.toml"` reads
/// that file first: a key of the study replaces the base's, whole, `[[sweep]]` included.
///
/// A study with other values is one of its own in a workspace, `name KEY=VALUE,... ...`: running it
/// changes nothing of what the file asks for, neither its table nor what `store gc` keeps.
[[nodiscard]] Study parse_study(const std::string& text,
                                const std::filesystem::path& path,
                                const std::vector<std::string>& overrides = {});

/// The overrides that a study's text ends with.
[[nodiscard]] std::vector<std::string> recorded_overrides(const std::string& text);
/// A study's name without what its overrides added to it.
[[nodiscard]] std::string plain_name(const std::string& name, const std::string& text);

/// A sweep's axes as a list of settings, in order, less what it excludes.
[[nodiscard]] std::vector<Setting> settings(const Sweep& sweep);

}  // namespace assay
