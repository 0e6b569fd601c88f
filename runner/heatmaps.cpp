#include "core/error.h"
#include "datasets/image.h"
#include "evaluator/anomaly_map.h"
#include "evaluator/heatmap.h"
#include "results/store.h"
#include "runner/installation.h"
#include "runner/scores_file.h"
#include "runner/worker_commands.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

namespace assay {
namespace {

constexpr std::int32_t kPanelPixels = 256;
constexpr std::size_t kNameBytes = 200;  // And room for the ending of a file that is being written.

struct HeatmapArguments {
  Places places;
  std::string study, out = "heatmaps";
  std::vector<std::string> overrides, datasets;
  std::int64_t count = 8;
};

/// `count` anomalous images, spread evenly over the set's order and so over its categories.
std::vector<std::size_t> chosen_images(const Manifest& manifest, std::int64_t count) {
  std::vector<std::size_t> anomalous, chosen;
  for (std::size_t i = 0; i < manifest.samples.size(); ++i) {
    if (manifest.samples[i].label == 1) anomalous.push_back(i);
  }
  const auto wanted = std::min(static_cast<std::size_t>(count), anomalous.size());
  for (std::size_t i = 0; i < wanted; ++i) {
    chosen.push_back(anomalous[(2 * i + 1) * anomalous.size() / (2 * wanted)]);
  }
  return chosen;
}

/// Pictures of one evaluate job, from the scores that it left: no backbone is needed.
std::int64_t draw(const StudyCell& cell,
                  const JobRecord& job,
                  const Study& study,
                  const HeatmapArguments& arguments) {
  const EvaluateSpec spec = evaluate_spec_from_json(nlohmann::json::parse(job.spec));
  const Workspace workspace = arguments.places.paths();
  const Manifest manifest = load_manifest(cell.dataset, study.dataset_root(cell.dataset),
                                          spec.part.split, spec.part.skipped);
  const Scores scores = read_scores(workspace.job(job.id) / "scores.h5", job.id);
  if (scores.image_score.size(0) != static_cast<std::int64_t>(manifest.samples.size())) {
    throw DataError("{}: its images have changed since they were scored", manifest.root.string());
  }
  const auto result = read_result(workspace, job.id);
  const AnomalyMapOperator to_map(scores.map_grid.size(1), spec.encoder.features.image_size,
                                  result->value("sigma", 0.0), kPanelPixels);
  std::string folder = cell.method + (cell.preset.empty() ? "" : "-" + cell.preset);
  for (const auto& [name, value] : cell.params->items()) folder += "-" + name + value.dump();
  const std::filesystem::path out =
      std::filesystem::path(arguments.out) / file_name(cell.dataset) / file_name(folder);
  const std::vector<std::size_t> images = chosen_images(manifest, arguments.count);
  std::vector<at::Tensor> maps;
  std::vector<std::span<const float>> views;
  for (const std::size_t image : images) {
    const auto row = static_cast<std::int64_t>(image);
    maps.push_back(to_map(scores.map_grid.slice(0, row, row + 1)).contiguous());
    views.emplace_back(maps.back().data_ptr<float>(),
                       static_cast<std::size_t>(maps.back().numel()));
  }
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Sample& sample = manifest.samples[images[i]];
    MaskRuns mask{.height = kPanelPixels, .width = kPanelPixels, .runs = {}, .areas = {}};
    if (!sample.mask_path.empty()) {
      mask = label_mask(preprocess_mask(read_image(manifest.root / sample.mask_path), kPanelPixels),
                        kPanelPixels, kPanelPixels);
    }
    const Image picture =
        heatmap_picture(read_image(manifest.root / sample.path), views[i], kPanelPixels,
                        manifest.has_masks ? &mask : nullptr, range_of_maps({&views[i], 1}));
    const float score = scores.image_score[static_cast<std::int64_t>(images[i])].item<float>();
    const std::filesystem::path name = heatmap_name(sample.path, sample.label, score);
    write_png(out / (file_name(name.stem().native(), kNameBytes) + ".png"), picture);
  }
  return static_cast<std::int64_t>(images.size());
}

int heatmaps(const HeatmapArguments& arguments) {
  Study study = load_study(arguments.study, arguments.overrides);
  arguments.places.apply_to(study);
  const Store store(arguments.places.paths().store());
  const auto done = store.done_jobs();
  std::int64_t pictures = 0;
  std::set<std::string> drawn;
  for (const StudyCell& cell : store.cells(study.name)) {
    const auto& wanted = arguments.datasets;
    if (!wanted.empty() && std::ranges::find(wanted, cell.dataset) == wanted.end()) continue;
    if (!done.contains(cell.job) || cell.for_curves() || cell.level == "image") continue;
    // Of the seeds of a row the first one.
    if (!drawn.insert(cell.method + cell.preset + cell.params->dump() + cell.dataset).second)
      continue;
    pictures += draw(cell, store.job(cell.job), study, arguments);
  }
  fmt::print(stderr, "{} pictures in {}\n", pictures, arguments.out);
  return 0;
}

}  // namespace

std::vector<Command> add_heatmap_command(CLI::App& app) {
  const auto arguments = std::make_shared<HeatmapArguments>();
  CLI::App* command = app.add_subcommand(
      "heatmaps", "pictures of a study's anomaly maps: photo, ground truth, map");
  command->add_option("STUDY", arguments->study, "study file")->required();
  command->add_option("OVERRIDES", arguments->overrides, "KEY=VALUE,...: those that it ran with");
  command->add_option("--out", arguments->out, "folder")->capture_default_str();
  command->add_option("--on", arguments->datasets, "data sets (default: all targets)");
  command->add_option("-n,--count", arguments->count, "anomalous images of each data set and row")
      ->capture_default_str();
  add_places(*command, arguments->places);
  set_example(*command,
              "assay heatmaps experiments/demo.toml --out demo/heatmaps -w demo/workspace");
  return {{command, [arguments] { return heatmaps(*arguments); }}};
}

}  // namespace assay
