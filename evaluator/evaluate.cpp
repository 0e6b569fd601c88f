#include "evaluator/evaluate.h"

#include "core/error.h"
#include "evaluator/anomaly_map.h"

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace assay {
namespace {

using nlohmann::json;
using ImagesByCategory = std::map<std::string, std::vector<std::int64_t>>;

void check_sizes(const ImagePredictions& predictions,
                 const EvaluationTruth& truth,
                 const EvaluateOptions& options) {
  const std::size_t n = truth.categories.size();
  const bool has_masks = !truth.masks.empty();
  if (truth.names.size() != n || truth.labels.size() != n ||
      (has_masks && truth.masks.size() != n) || predictions.scores.dim() != 1 ||
      predictions.grids.dim() != 3 || predictions.scores.size(0) != static_cast<std::int64_t>(n) ||
      predictions.grids.size(0) != static_cast<std::int64_t>(n)) {
    throw std::invalid_argument(
        "evaluate: names, categories, labels, masks, scores and grids of as many images expected");
  }
  for (std::size_t i = 0; i < truth.masks.size(); ++i) {
    const MaskRuns& mask = truth.masks[i];
    if (mask.height != options.eval_size || mask.width != options.eval_size) {
      throw std::invalid_argument(
          fmt::format("evaluate: the mask of {} is {} x {}, expected {} x {}", truth.names[i],
                      mask.height, mask.width, options.eval_size, options.eval_size));
    }
  }
}

void check_finite(const ImagePredictions& predictions, const EvaluationTruth& truth) {
  const at::Tensor good_scores = at::isfinite(predictions.scores);
  const at::Tensor good_grids = at::isfinite(predictions.grids).flatten(1).all(1);
  for (std::size_t i = 0; i < truth.names.size(); ++i) {
    const auto image = static_cast<std::int64_t>(i);
    const bool bad_score = !good_scores[image].item<bool>();
    if (bad_score || !good_grids[image].item<bool>()) {
      throw JobError(
          "{}: the {} is NaN or infinite, expected a finite number; the weights or the "
          "features of this image are damaged",
          truth.names[i], bad_score ? "image score" : "anomaly map");
    }
  }
}

// Metrics of one category after the other. Maps are made from their grids, twice: that takes less
// than half of what the metrics do, and no category is too large.
class CategoryEvaluator {
 public:
  CategoryEvaluator(const ImagePredictions& predictions,
                    const EvaluationTruth& truth,
                    const EvaluateOptions& options)
      : predictions_(predictions),
        truth_(truth),
        options_(options),
        to_maps_(std::max<std::int64_t>(predictions.grids.size(1), 1),
                 options.image_size,
                 options.sigma,
                 options.eval_size),
        maps_(at::empty({options.pixel.num_threads, options.eval_size, options.eval_size},
                        at::kFloat)) {}

  CategoryResult evaluate(const std::string& category, const std::vector<std::int64_t>& images) {
    CategoryResult result;
    result.category = category;
    result.num_images = static_cast<std::int64_t>(images.size());
    const float* scores = predictions_.scores.const_data_ptr<float>();
    std::vector<float> image_scores;
    std::vector<std::uint8_t> labels;
    for (const std::int64_t image : images) {
      image_scores.push_back(scores[image]);
      labels.push_back(truth_.labels[image]);
    }
    result.image = image_metrics(image_scores, labels);
    if (truth_.masks.empty()) {
      result.pixel.undefined_because = result.pixel.cflow200_undefined_because = "no_masks";
      return result;
    }
    std::vector<MaskRuns> masks;
    for (const std::int64_t image : images) {
      masks.push_back(truth_.masks[image]);
      if (truth_.labels[image] != 0 && masks.back().runs.empty()) ++result.num_empty_masks;
    }
    const auto map_of = [&](std::size_t image, int thread) { return map(images[image], thread); };
    result.pixel = pixel_metrics(map_of, masks, options_.pixel);
    return result;
  }

 private:
  [[nodiscard]] std::span<const float> map(std::int64_t image, int thread) const {
    const at::Tensor map = maps_.narrow(0, thread, 1);
    to_maps_.write(predictions_.grids.narrow(0, image, 1), map);
    return {map.const_data_ptr<float>(), static_cast<std::size_t>(map.numel())};
  }

  const ImagePredictions& predictions_;
  const EvaluationTruth& truth_;
  const EvaluateOptions& options_;
  AnomalyMapOperator to_maps_;
  at::Tensor maps_;  // [threads, S, S]
};

// This rank's categories, and what went wrong instead.
json evaluate_share(const ImagePredictions& predictions,
                    const EvaluationTruth& truth,
                    const EvaluateOptions& options,
                    const ImagesByCategory& categories,
                    const Communicator& comm) {
  json results = json::array();
  std::string at_work = "the map operator";
  try {
    CategoryEvaluator evaluator(predictions, truth, options);
    int number = 0;
    for (const auto& [category, images] : categories) {
      if (number++ % comm.world_size() != comm.rank()) continue;
      at_work = "category " + category;
      results.push_back(to_json(evaluator.evaluate(category, images)));
    }
  } catch (const std::exception& error) {
    return {{"error", fmt::format("evaluation of {}: {}", at_work, error.what())}};
  }
  return {{"results", results}};
}

}  // namespace

std::vector<CategoryResult> evaluate(const ImagePredictions& predictions,
                                     const EvaluationTruth& truth,
                                     const EvaluateOptions& options,
                                     Communicator& comm) {
  check_sizes(predictions, truth, options);
  check_finite(predictions, truth);
  const ImagePredictions floats{predictions.scores.to(at::kFloat).contiguous(),
                                predictions.grids.to(at::kFloat).contiguous()};
  ImagesByCategory categories;
  for (std::size_t i = 0; i < truth.categories.size(); ++i) {
    categories[truth.categories[i]].push_back(static_cast<std::int64_t>(i));
  }

  // What fails on one rank travels like a result, so that no rank waits for it.
  const std::string share = evaluate_share(floats, truth, options, categories, comm).dump();
  std::vector<CategoryResult> results;
  for (const std::vector<std::byte>& bytes : comm.all_gather(std::as_bytes(std::span(share)))) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const json part = json::parse(text, text + bytes.size());
    if (part.contains("error")) throw JobError("{}", part.at("error").get<std::string>());
    for (const json& result : part.at("results")) {
      results.push_back(category_result_from_json(result));
    }
  }
  std::ranges::sort(results, {}, &CategoryResult::category);
  return results;
}

}  // namespace assay
