#include "core/digest.h"
#include "core/error.h"
#include "registry/weights_import.h"
#include "runner/installation.h"
#include "runner/worker_commands.h"

#include <algorithm>
#include <cstdio>
#include <memory>

namespace assay {
namespace {

namespace fs = std::filesystem;

struct BackboneArguments {
  Places places;
  std::string name, file;
  bool json = false;
};

/// The folder of weights, as the command line or the environment says.
fs::path weights_folder(const BackboneArguments& arguments) {
  Study study;
  arguments.places.apply_to(study);
  if (study.weights) return *study.weights;
  throw ConfigError("no folder of weights; say --weights FOLDER or set $ASSAY_WEIGHTS");
}

/// `Half`, `Float` or `BFloat16`, as the file has them; several where it mixes them.
std::string dtypes_of(const fs::path& path) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : map_safetensors(path).tensors) {
    const std::string dtype(c10::toString(tensor.scalar_type()));
    if (std::ranges::count(names, dtype) == 0) names.push_back(dtype);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

int check(const BackboneArguments& arguments) {
  const BackboneDescription& backbone = find_backbone(arguments.name);
  fs::path path = arguments.file;
  if (path.empty()) {
    path = backbone.embedded ? installation().embedded_weights / backbone.weights_file
                             : weights_folder(arguments) / backbone.weights_file;
  }
  const ClipSizes sizes = load_backbone(backbone, path).sizes();
  const nlohmann::json report = {
      {"backbone", backbone.name},
      {"file", path.string()},
      {"sha256", sha256_file(path)},
      {"dtypes", dtypes_of(path)},
      {"vision", {{"blocks", sizes.vision_layers}, {"width", sizes.vision_width}}},
      {"text", {{"blocks", sizes.text_layers}, {"width", sizes.text_width}}},
      {"patch", sizes.patch},
      {"native_grid", sizes.native_grid},
      {"joint", sizes.joint}};
  if (arguments.json) {
    fmt::print("{}\n", report.dump(2));
    return 0;
  }
  fmt::print(
      "{}: weights of {}\n  vision {} blocks of width {}, patch {}, {} x {} positions\n"
      "  text {} blocks of width {}, joint width {}\n  numbers {}\n  SHA-256 {}\n",
      path.string(), backbone.name, sizes.vision_layers, sizes.vision_width, sizes.patch,
      sizes.native_grid, sizes.native_grid, sizes.text_layers, sizes.text_width, sizes.joint,
      report["dtypes"].get<std::string>(), report["sha256"].get<std::string>());
  return 0;
}

int import(const BackboneArguments& arguments) {
  const BackboneDescription& backbone = find_backbone(arguments.name);
  if (backbone.embedded) throw ConfigError("'{}' comes with the sources", backbone.name);
  const fs::path folder = weights_folder(arguments);
  fs::create_directories(folder);
  const fs::path target = import_backbone(backbone, arguments.file, folder);
  fmt::print("{}\n", target.string());
  return 0;
}

void add_weights(CLI::App& command, BackboneArguments& arguments) {
  command.add_option("--weights", arguments.places.weights,
                     "folder of CLIP weights (or $ASSAY_WEIGHTS)");
}

}  // namespace

std::vector<Command> add_backbone_commands(CLI::App& app) {
  CLI::App* backbone = app.add_subcommand("backbone", "check and import CLIP weights");
  backbone->require_subcommand(1);
  set_example(*backbone, "assay backbone check clip-vit-l-14-336 --weights ~/clip");

  const auto checked = std::make_shared<BackboneArguments>();
  CLI::App* check_app = backbone->add_subcommand("check", "whether a file holds its weights");
  check_app->add_option("NAME", checked->name, "backbone (assay doctor lists them)")->required();
  check_app->add_option("FILE", checked->file, "safetensors (default: below --weights)");
  add_weights(*check_app, *checked);
  check_app->add_flag("--json", checked->json, "for machines");
  set_example(*check_app, "assay backbone check assay-tiny");

  const auto imported = std::make_shared<BackboneArguments>();
  CLI::App* import_app = backbone->add_subcommand(
      "import", "check a file of OpenAI, open_clip or HuggingFace and put it where studies look");
  import_app->add_option("NAME", imported->name, "backbone (assay doctor lists them)")->required();
  import_app->add_option("FILE", imported->file, "safetensors")->required();
  add_weights(*import_app, *imported);
  set_example(*import_app,
              "assay backbone import clip-vit-l-14-336 model.safetensors --weights ~/clip");

  return {{check_app, [checked] { return check(*checked); }},
          {import_app, [imported] { return import(*imported); }}};
}

}  // namespace assay
