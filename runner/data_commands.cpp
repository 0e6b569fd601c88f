#include "core/error.h"
#include "datasets/catalogue.h"
#include "datasets/check.h"
#include "datasets/synth.h"
#include "runner/worker_commands.h"

#include <algorithm>
#include <cstdio>
#include <memory>

namespace assay {
namespace {

struct DataArguments {
  Places places;
  std::string name, root;
  bool json = false;
};

/// The folder of a set: as given, else below the folder of all sets.
std::filesystem::path root_of(const DataArguments& arguments, const std::string& name) {
  if (!arguments.root.empty()) return arguments.root;
  Study study;
  arguments.places.apply_to(study);
  return study.dataset_root(name);
}

int list(const DataArguments& arguments) {
  Study study;
  arguments.places.apply_to(study);
  nlohmann::json all = nlohmann::json::array();
  for (const DatasetDescription& dataset : catalogue()) {
    ImageCounts train, test;
    for (const CategoryDescription& category : dataset.categories) {
      train.normal += category.train.normal;
      train.anomalous += category.train.anomalous;
      test.normal += category.test.normal;
      test.anomalous += category.test.anomalous;
    }
    const bool present =
        study.data.fallback && std::filesystem::exists(*study.data.fallback / dataset.name);
    all.push_back({{"name", dataset.name},
                   {"title", dataset.title},
                   {"categories", dataset.categories.size()},
                   {"train", {train.normal, train.anomalous}},
                   {"test", {test.normal, test.anomalous}},
                   {"present", present}});
    if (arguments.json) continue;
    fmt::print("{:<14}{:<30}{:>3} categories, test {}/{} {}\n", dataset.name, dataset.title,
               dataset.categories.size(), test.normal, test.anomalous, present ? "(here)" : "");
  }
  if (arguments.json) fmt::print("{}\n", all.dump(2));
  return 0;
}

int check(const DataArguments& arguments) {
  const CheckReport report = check_dataset(arguments.name, root_of(arguments, arguments.name));
  if (arguments.json) {
    fmt::print("{}\n",
               nlohmann::json{{"problems", report.problems}, {"notes", report.notes}}.dump(2));
  } else {
    for (const std::string& problem : report.problems) fmt::print("{}\n", problem);
    for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
  }
  fmt::print(stderr, "{}: {} images and {} masks looked at, {} problems\n", arguments.name,
             report.num_images, report.num_masks, report.problems.size());
  return report.problems.empty() ? 0 : 2;
}

struct SynthArguments {
  std::string root;
  std::vector<std::string> names = synth_names();
  int images = 0, image_size = 0;
};

int synth(const SynthArguments& arguments) {
  for (const std::string& name : arguments.names) {
    const std::filesystem::path folder = std::filesystem::path(arguments.root) / name;
    SynthOptions options = default_synth_options(name);
    if (arguments.images > 0) {
      options.train_normal = options.test_normal = options.test_anomalous = arguments.images;
    }
    if (arguments.image_size > 0) options.image_size = arguments.image_size;
    const bool drawn = write_synth(name, folder, options);
    fmt::print(stderr, "{}: {}\n", folder.string(), drawn ? "drawn" : "is there already");
  }
  return 0;
}

}  // namespace

std::vector<Command> add_data_commands(CLI::App& app) {
  std::vector<Command> commands;
  CLI::App* data = app.add_subcommand("data", "list, check and draw data sets");
  data->require_subcommand(1);
  set_example(*data, "assay data check visa --data ~/datasets");

  const auto listed = std::make_shared<DataArguments>();
  CLI::App* list_app = data->add_subcommand("list", "the data sets that are known by name");
  list_app->add_option("--data", listed->places.data, "folder of the data sets' folders");
  list_app->add_flag("--json", listed->json, "for machines");
  set_example(*list_app, "assay data list --data ~/datasets");
  commands.push_back({list_app, [listed] { return list(*listed); }});

  const auto checked = std::make_shared<DataArguments>();
  CLI::App* check_app = data->add_subcommand("check", "every problem of a data set's folder");
  check_app->add_option("NAME", checked->name, "data set")->required();
  check_app->add_option("ROOT", checked->root, "its folder (default: below --data)");
  check_app->add_option("--data", checked->places.data, "folder of the data sets' folders");
  check_app->add_flag("--json", checked->json, "for machines");
  set_example(*check_app, "assay data check elpv .deps/elpv");
  commands.push_back({check_app, [checked] { return check(*checked); }});

  const auto drawn = std::make_shared<SynthArguments>();
  CLI::App* synth_app = data->add_subcommand("synth", "draw the synthetic sets (deterministic)");
  synth_app->add_option("ROOT", drawn->root, "folder of the data sets' folders")->required();
  synth_app->add_option("NAMES", drawn->names, "which (default: synth-a synth-b)");
  synth_app->add_option("--images", drawn->images, "of each split, label and category");
  synth_app->add_option("--image-size", drawn->image_size, "pixels");
  set_example(*synth_app, "assay data synth demo/data");
  commands.push_back({synth_app, [drawn] { return synth(*drawn); }});
  return commands;
}

}  // namespace assay
