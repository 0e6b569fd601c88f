#include "core/error.h"
#include "core/optional_json.h"
#include "evaluator/measure.h"
#include "runner/progress.h"
#include "runner/worker_commands.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <map>
#include <memory>

namespace assay {
namespace {

struct MetricsArguments {
  std::string file, algorithm = "exact";
  MeasureOptions options;
  std::vector<double> aupimo_bounds;  // None or two.
  bool json = false;
};

constexpr const char* kExample = R"(assay metrics maps.safetensors

maps.safetensors comes from Python (pip install safetensors numpy):
  import numpy
  from safetensors.numpy import save_file
  save_file({
      "map":   maps.astype(numpy.float32),          # [n, H, W], higher is more anomalous
      "mask":  (masks > 0).astype(numpy.uint8),     # [n, H, W], 1 is anomalous
      "score": scores,                              # [n], float32 or float64
      "label": labels,                              # [n], 1 is anomalous; int, bool or float
  }, "maps.safetensors")
'map' and 'mask' (or a mask of bool) give the pixel metrics, 'score' and 'label' those of images;
either pair may be left out. Other tensors may lie beside all four; a warning names them. One file
holds one category: the number of a data set is the mean over its categories.
--algorithm binned keeps the same memory for any number of images and prints between which bounds
the exact values lie. Only AUPIMO keeps more: next to nothing by default, with wide --aupimo-bounds
up to 12 bytes a pixel of normal images. AUPRO-200, the 200-threshold PRO of the papers, is the
exact algorithm's only.
With --json, undefined is null. Exit code 2: the file is not as above; the message says where.)";

std::string counted(std::int64_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string value_text(const std::optional<double>& value) {
  return value ? fmt::format("{:.6f}", *value) : "undefined";
}

std::string row(const std::string& level,
                const std::string& title,
                const std::optional<double>& value,
                const std::string& note) {
  std::string text = fmt::format("{:<7}{:<13}{:<11}{}", level, title, value_text(value), note);
  text.erase(text.find_last_not_of(' ') + 1);
  return text + "\n";
}

std::string bounds(const CategoryMetric& metric, const Measured& measured) {
  if (metric.level != "pixel" || !metric.value || !measured.brackets) return "";
  const PixelBrackets& all = *measured.brackets;
  const Bracket& bracket = metric.metric == "auroc"   ? all.auroc
                           : metric.metric == "ap"    ? all.ap
                           : metric.metric == "f1max" ? all.f1max
                                                      : all.aupro;
  return fmt::format("exact: {:.6f} to {:.6f}", bracket.lower, bracket.upper);
}

std::string note_on(const CategoryMetric& metric,
                    const Measured& measured,
                    const MetricsArguments& arguments) {
  if (!metric.value) return metric.undefined_because;
  std::string note = bounds(metric, measured);
  const auto add = [&](const std::string& text) { note += (note.empty() ? "" : ", ") + text; };
  const CategoryResult& result = measured.metrics;
  if (metric.metric == "f1max") {
    add(fmt::format("at scores >= {}", *(metric.level == "image" ? result.image.f1max_threshold
                                                                 : result.pixel.f1max_threshold)));
  }
  if (metric.metric == "aupro") {
    add(fmt::format("false positive rate up to {}", arguments.options.pixel.aupro_limit));
  }
  return note;
}

std::string aupimo_rows(const Aupimo& aupimo, const MetricsArguments& arguments) {
  const auto note = [&](const AupimoValues& values) {
    return values.mean ? fmt::format("false positive rate {} to {} of normal images: {}",
                                     arguments.options.aupimo_lower, arguments.options.aupimo_upper,
                                     counted(aupimo.num_inside, "pixel"))
                       : values.undefined_because;
  };
  return row("pixel", "AUPIMO", aupimo.exact.mean, note(aupimo.exact)) +
         row("pixel", "AUPIMO-grid", aupimo.grid.mean,
             aupimo.grid.mean ? "as anomalib, 300,000 thresholds" : note(aupimo.grid));
}

std::string text_of(const ScoredImages& images,
                    const Measured& measured,
                    const MetricsArguments& arguments) {
  static const std::map<std::string, std::string> titles = {{"auroc", "AUROC"},
                                                            {"ap", "AP"},
                                                            {"f1max", "F1-max"},
                                                            {"aupro", "AUPRO"},
                                                            {"aupro_cflow200", "AUPRO-200"}};
  const CategoryResult& result = measured.metrics;
  std::string text = fmt::format("images {}", images.num_images());
  if (result.image.num_normal + result.image.num_anomalous > 0) {
    text += fmt::format(": {} normal, {} anomalous", result.image.num_normal,
                        result.image.num_anomalous);
  }
  const PixelMetrics& pixel = result.pixel;
  if (images.has_maps() && images.has_masks()) {
    text +=
        fmt::format("\npixels {}: {} normal, {} anomalous in {} ({}-connected), {} x {} an image",
                    pixel.num_normal + pixel.num_anomalous, pixel.num_normal, pixel.num_anomalous,
                    counted(pixel.num_regions, "region"), arguments.options.connectivity,
                    images.height(), images.width());
  }
  text += "\n\n";
  for (const CategoryMetric& metric : metrics_of_category(result)) {
    text += row(metric.level, titles.at(metric.metric), metric.value,
                note_on(metric, measured, arguments));
  }
  text += aupimo_rows(measured.aupimo, arguments);
  text += fmt::format("\n{}, {}: masks {:.3f} s, pixels {:.3f} s, AUPIMO {:.3f} s\n",
                      arguments.algorithm, counted(arguments.options.pixel.num_threads, "thread"),
                      measured.seconds_masks, measured.seconds_pixels, measured.seconds_aupimo);
  return text;
}

nlohmann::json to_json(const AupimoValues& values) {
  nlohmann::json by_image = nlohmann::json::array();
  for (const std::optional<double>& value : values.by_image) {
    by_image.push_back(optional_json(value));
  }
  return {{"mean", optional_json(values.mean)},
          {"by_image", by_image},
          {"undefined_because", values.undefined_because}};
}

nlohmann::json to_json(const PixelBrackets& brackets) {
  const auto pair = [](const Bracket& bracket) {
    return nlohmann::json::array({bracket.lower, bracket.upper});
  };
  return {{"auroc", pair(brackets.auroc)},
          {"ap", pair(brackets.ap)},
          {"f1max", pair(brackets.f1max)},
          {"aupro", pair(brackets.aupro)}};
}

nlohmann::json json_of(const ScoredImages& images,
                       const Measured& measured,
                       const MetricsArguments& arguments) {
  const MeasureOptions& options = arguments.options;
  nlohmann::json json = to_json(measured.metrics);
  json.erase("category");
  json["file"] = images.path();
  json["height"] = images.height();
  json["width"] = images.width();
  json["algorithm"] = arguments.algorithm;
  json["threads"] = options.pixel.num_threads;
  json["connectivity"] = options.connectivity;
  json["aupro_limit"] = options.pixel.aupro_limit;
  json["brackets"] = measured.brackets ? to_json(*measured.brackets) : nlohmann::json(nullptr);
  json["aupimo"] = to_json(measured.aupimo.exact);
  json["aupimo_grid"] = to_json(measured.aupimo.grid);
  json["aupimo_bounds"] = {options.aupimo_lower, options.aupimo_upper};
  json["aupimo_normal_pixels_inside"] = measured.aupimo.num_inside;
  json["warnings"] = measured.warnings;
  json["seconds"] = {{"masks", measured.seconds_masks},
                     {"pixels", measured.seconds_pixels},
                     {"aupimo", measured.seconds_aupimo}};
  return json;
}

int metrics(MetricsArguments arguments) {
  MeasureOptions& options = arguments.options;
  if (!arguments.aupimo_bounds.empty()) {
    options.aupimo_lower = arguments.aupimo_bounds[0];
    options.aupimo_upper = arguments.aupimo_bounds[1];
  }
  if (!(options.aupimo_lower > 0 && options.aupimo_lower < options.aupimo_upper &&
        options.aupimo_upper <= 1)) {
    throw ConfigError("--aupimo-bounds: {} and {}, expected 0 < LOWER < UPPER <= 1",
                      options.aupimo_lower, options.aupimo_upper);
  }
  options.algorithm =
      arguments.algorithm == "binned" ? PixelAlgorithm::kBinned : PixelAlgorithm::kExact;
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
  command->add_option("--algorithm", arguments->algorithm, "of the pixel metrics: exact or binned")
      ->check(CLI::IsMember({"exact", "binned"}))
      ->capture_default_str();
  command->add_option("--threads", arguments->options.pixel.num_threads, "they change no bit")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
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
  command
      ->add_option("--aupimo-bounds", arguments->aupimo_bounds,
                   "LOWER UPPER false positive rate on normal images (default: 1e-5 1e-4)")
      ->expected(2);
  command->add_flag("--json", arguments->json, "for machines");
  set_example(*command, kExample);
  return {{command, [arguments] { return metrics(*arguments); }}};
}

}  // namespace assay
