#include "core/comm/agree.h"
#include "core/error.h"
#include "evaluator/category_result.h"
#include "evaluator/evaluate.h"
#include "registry/method.h"
#include "registry/safetensors.h"
#include "results/metric_row.h"
#include "runner/feature_batches.h"
#include "runner/jobs.h"
#include "runner/scores_file.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace assay {
namespace {

std::unique_ptr<Method> trained_method(const EvaluateSpec& spec,
                                       const Clip& clip,
                                       const Tokenizer& tokenizer,
                                       const ResolvedMethod& resolved,
                                       const JobContext& context) {
  std::unique_ptr<Method> method = make_method({clip, tokenizer, resolved}, /*seed=*/0);
  if (!spec.checkpoint.empty()) {
    load_parameters(*method, read_safetensors(context.run.paths().job(spec.checkpoint) /
                                              "checkpoint.safetensors")
                                 .tensors);
  }
  method->prepare_inference();
  return method;
}

/// What the method says of every image, on every rank. Batches are cut by the image's index and
/// dealt to the ranks.
ImagePredictions predict(const Method& method,
                         const FeatureSet& set,
                         const ClassWords& words,
                         std::int64_t grid,
                         const JobContext& context) {
  const c10::InferenceMode guard;
  Communicator& comm = context.comm();
  std::vector<at::Tensor> scores = {at::empty({0})}, grids = {at::empty({0, grid, grid})};
  std::vector<std::int64_t> indices;
  agree(comm, [&] {
    const std::int64_t stride = kPredictImages * comm.world_size();
    for (std::int64_t first = kPredictImages * comm.rank(); first < set.size(); first += stride) {
      std::vector<std::int64_t> images(
          static_cast<std::size_t>(std::min(kPredictImages, set.size() - first)));
      std::iota(images.begin(), images.end(), first);
      const Prediction prediction =
          method.predict(inference_batch(set, images, words, context.loaded.device.device));
      scores.push_back(prediction.image_score.cpu());
      grids.push_back(prediction.map_grid.cpu());
      indices.insert(indices.end(), images.begin(), images.end());
      context.control.progress(
          {{"done", images.back() + 1}, {"total", set.size()}, {"unit", "image"}});
    }
  });
  return gather_predictions({at::cat(scores), at::cat(grids)}, indices, set.size(), comm);
}

EvaluationTruth truth_of(const FeatureSet& set, std::int64_t eval_size, const JobContext& context) {
  EvaluationTruth truth;
  for (const Sample& sample : set.manifest().samples) {
    truth.names.push_back(sample.path);
    truth.categories.push_back(sample.category);
    truth.labels.push_back(static_cast<std::uint8_t>(sample.label));
  }
  if (set.manifest().has_masks) truth.masks = *masks_of(set, eval_size, context);
  return truth;
}

std::vector<MetricRow> rows_of(const std::string& dataset,
                               const std::vector<CategoryResult>& results) {
  std::vector<MetricRow> rows;
  for (const CategoryResult& result : results) {
    for (const CategoryMetric& metric : metrics_of_category(result)) {
      rows.push_back({.dataset = dataset,
                      .category = result.category,
                      .level = metric.level,
                      .metric = metric.metric,
                      .value = metric.value,
                      .undefined_because = metric.undefined_because,
                      .num_normal = metric.num_normal,
                      .num_anomalous = metric.num_anomalous,
                      .num_regions = metric.num_regions,
                      .num_categories = {}});
    }
  }
  return with_dataset_means(std::move(rows));
}

}  // namespace

nlohmann::json run_evaluate(const EvaluateSpec& spec, const JobContext& context) {
  Communicator& comm = context.comm();
  const auto features = load_features(spec.encoder, spec.part, context);
  const auto clip = load_clip(spec.encoder, spec.precision, context);
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Method> method;
  const ResolvedMethod resolved = resolved_method(spec.method, spec.encoder, context.run.hints);
  agree(comm, [&] {
    tokenizer = context.loaded.tokenizers.get(context.run.merges.string(),
                                              [&] { return Tokenizer(context.run.merges); });
    method = trained_method(spec, *clip, *tokenizer, resolved, context);
  });
  const std::int64_t image_size = spec.encoder.features.image_size;
  const ImagePredictions predictions = predict(*method, *features, class_words(resolved.switches),
                                               image_size / clip->sizes().patch, context);
  const EvaluateOptions options{
      .image_size = image_size,
      .eval_size = spec.eval_size,
      .sigma = resolved.switches.value("infer.sigma", 0.0),
      .pixel = {.aupro_limit = spec.aupro_limit, .cflow200 = spec.cflow200}};
  const std::vector<CategoryResult> results =
      evaluate(predictions, truth_of(*features, spec.eval_size, context), options, comm);
  agree(comm, [&] {
    if (comm.rank() != 0) return;
    write_scores(context.run.folder() / "scores.h5", context.run.id, features->manifest(),
                 {predictions.scores, predictions.grids});
  });
  const std::string warning = inversion_warning(results, spec.checkpoint);
  if (comm.rank() == 0 && !warning.empty()) fmt::print(stderr, "warning: {}\n", warning);
  nlohmann::json metrics = nlohmann::json::array(), empty_masks = nlohmann::json::object();
  for (const MetricRow& row : rows_of(spec.part.dataset, results)) metrics.push_back(to_json(row));
  for (const CategoryResult& result : results) {
    if (result.num_empty_masks > 0) empty_masks[result.category] = result.num_empty_masks;
  }
  return {{"num_images", features->size()},
          {"sigma", options.sigma},
          {"empty_masks", empty_masks},
          {"warning", warning},
          {"metrics", metrics}};
}

}  // namespace assay
