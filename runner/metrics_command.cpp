#include "core/error.h"
#include "evaluator/cflow200.h"
#include "evaluator/measure.h"
#include "runner/progress.h"
#include "runner/worker_commands.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <memory>

namespace assay {
namespace {

struct MetricsArguments {
  std::string file;
  MeasureOptions options;
  bool json = false;
};

constexpr const char* kExample = R"(assay metrics maps.safetensors

maps.safetensors comes from Python (pip install safetensors numpy):
  import numpy
  from safetensors.numpy import save_file
  save_file({
      "map":   maps.astype(numpy.float32),          # [n, H, W], higher is more anomalous
      "mask":  (masks > 0).astype(numpy.uint8),     # [n, H, W], 1 is anomalous
      "score": scores.astype(numpy.float32),        # [n]
      "label": labels.astype(numpy.uint8),          # [n], 1 is anomalous
  }, "maps.safetensors")
'map' and 'mask' give the pixel metrics, 'score' and 'label' those of images; either pair may be
left out. One file holds one category: the number of a data set is the mean over its categories.
With --json, undefined is null. Exit code 2: the file is not as above; the message says where.)";

std::string value_text(const std::optional<double>& value) {
  return value ? fmt::format("{:.6f}", *value) : "undefined";
}

std::string line(const CategoryMetric& metric,
                 const CategoryResult& result,
                 const MetricsArguments& arguments) {
  static const std::map<std::string, std::string> titles = {{"auroc", "AUROC"},
                                                            {"ap", "AP"},
                                                            {"f1max", "F1-max"},
                                                            {"aupro", "AUPRO"},
                                                            {"aupro_cflow200", "AUPRO-200"}};
  std::string note;
  if (!metric.value) note = metric.undefined_because;
  if (metric.metric == "aupro" && metric.value) {
    note = fmt::format("false positive rate up to {}", arguments.options.pixel.aupro_limit);
  }
  const auto& threshold =
      metric.level == "image" ? result.image.f1max_threshold : result.pixel.f1max_threshold;
  if (metric.metric == "f1max" && threshold) note = fmt::format("at scores >= {}", *threshold);
  std::string text = fmt::format("{:<7}{:<11}{:<11}{}", metric.level, titles.at(metric.metric),
                                 value_text(metric.value), note);
  text.erase(text.find_last_not_of(' ') + 1);
  return text + "\n";
}

std::string text_of(const ScoredImages& images,
                    const Measured& measured,
                    const MetricsArguments& arguments) {
  const CategoryResult& result = measured.metrics;
  std::string text = fmt::format("images {}", images.num_images());
  if (result.image.num_normal + result.image.num_anomalous > 0) {
    text += fmt::format(": {} normal, {} anomalous", result.image.num_normal,
                        result.image.num_anomalous);
  }
  const PixelMetrics& pixel = result.pixel;
  if (images.has_maps() && images.has_masks()) {
    text += fmt::format(
        "\npixels {}: {} normal, {} anomalous in {} regions ({}-connected), {} x {} an image",
        pixel.num_normal + pixel.num_anomalous, pixel.num_normal, pixel.num_anomalous,
        pixel.num_regions, arguments.options.connectivity, images.height(), images.width());
  }
  text += "\n\n";
  for (const CategoryMetric& metric : metrics_of_category(result)) {
    text += line(metric, result, arguments);
  }
  text += fmt::format("\n{:.3f} s: masks {:.3f}, metrics {:.3f}\n",
                      measured.seconds_masks + measured.seconds_metrics, measured.seconds_masks,
                      measured.seconds_metrics);
  return text;
}

nlohmann::json json_of(const ScoredImages& images,
                       const Measured& measured,
                       const MetricsArguments& arguments) {
  nlohmann::json json = to_json(measured.metrics);
  json.erase("category");
  json["file"] = images.path();
  json["height"] = images.height();
  json["width"] = images.width();
  json["connectivity"] = arguments.options.connectivity;
  json["aupro_limit"] = arguments.options.pixel.aupro_limit;
  json["warnings"] = measured.warnings;
  json["seconds"] = {{"masks", measured.seconds_masks}, {"metrics", measured.seconds_metrics}};
  return json;
}

int metrics(const MetricsArguments& arguments) {
  const ScoredImages images(arguments.file);
  const Measured measured = measure(images, arguments.options);
  for (const std::string& warning : measured.warnings) {
    say(stderr, fmt::format("assay: warning: {}\n", warning));
  }
  say(stdout, arguments.json ? json_of(images, measured, arguments).dump(2) + "\n"
                             : text_of(images, measured, arguments));
  return 0;
}

}  // namespace

std::vector<Command> add_metrics_command(CLI::App& app) {
  const auto arguments = std::make_shared<MetricsArguments>();
  CLI::App* command =
      app.add_subcommand("metrics", "AUROC, AP, F1-max, AUPRO of anyone's anomaly maps and scores");
  command->add_option("FILE", arguments->file, "safetensors file: map, mask, score, label")
      ->required();
  command
      ->add_option("--limit", arguments->options.pixel.aupro_limit,
                   "false positive rate up to which AUPRO integrates")
      ->check(CLI::Validator(
          [](const std::string& text) {
            double limit = 0;
            const bool number = CLI::detail::lexical_cast(text, limit);
            return number && limit > 0 && limit <= 1 ? std::string() : text + " is not in (0, 1]";
          },
          "in (0, 1]"))
      ->capture_default_str();
  command
      ->add_option("--connectivity", arguments->options.connectivity,
                   "of the masks' regions: 8 (the papers') or 4")
      ->check(CLI::IsMember({4, 8}))
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "for machines");
  set_example(*command, kExample);
  return {{command, [arguments] { return metrics(*arguments); }}};
}

}  // namespace assay
