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

/// The method with the parameters of a checkpoint; empty: none are trained.
std::unique_ptr<Method> trained_method(const std::string& checkpoint,
                                       const MethodContext& made_from,
                                       const JobContext& context) {
  std::unique_ptr<Method> method = make_method(made_from, /*seed=*/0);
  if (!checkpoint.empty()) {
    load_parameters(
        *method,
        read_safetensors(context.run.paths().job(checkpoint) / "checkpoint.safetensors").tensors);
  }
  method->prepare_inference();
  return method;
}

/// Those that judge: one, or the members of an ensemble.
std::vector<std::unique_ptr<Method>> judges(const EvaluateSpec& spec,
                                            const MethodContext& made_from,
                                            const JobContext& context) {
  std::vector<std::unique_ptr<Method>> methods;
  if (spec.checkpoints.empty()) {
    methods.push_back(trained_method(spec.checkpoint, made_from, context));
  }
  for (const std::string& checkpoint : spec.checkpoints) {
    methods.push_back(trained_method(checkpoint, made_from, context));
  }
  return methods;
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

/// `spec/ablations.md` 5.2. Smoothing is linear: the mean of the maps is the map of the mean.
ImagePredictions predict_together(const EvaluateSpec& spec,
                                  std::vector<std::unique_ptr<Method>> methods,
                                  const FeatureSet& set,
                                  const ClassWords& words,
                                  std::int64_t grid,
                                  const JobContext& context) {
  if (spec.combine == "prototype") {
    methods[0]->average_texts(methods);
    return predict(*methods[0], set, words, grid, context);
  }
  ImagePredictions sum;
  for (const auto& method : methods) {
    const ImagePredictions one = predict(*method, set, words, grid, context);
    sum.scores = sum.scores.defined() ? sum.scores + one.scores : one.scores;
    sum.grids = sum.grids.defined() ? sum.grids + one.grids : one.grids;
  }
  const auto n = static_cast<double>(methods.size());
  if (n > 1) sum = {sum.scores / n, sum.grids / n};
  return sum;
}

EvaluationTruth truth_of(const FeatureSet& set, std::int64_t eval_size, const JobContext& context) {
  EvaluationTruth truth;
  for (const Sample& sample : set.manifest().samples) {
    truth.names.push_back(sample.path);
    truth.categories.push_back(sample.category);
    truth.labels.push_back(static_cast<std::uint8_t>(sample.label));
  }
  if (set.manifest().has_masks) truth.masks = *masks_of(set.files(), eval_size, context);
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
  std::vector<std::unique_ptr<Method>> methods;
  const ResolvedMethod resolved = resolved_method(spec.method, spec.encoder, context.run.hints);
  agree(comm, [&] {
    tokenizer = tokenizer_of(context);
    methods = judges(spec, {*clip, *tokenizer, resolved}, context);
  });
  const std::int64_t image_size = spec.encoder.features.image_size;
  const ImagePredictions predictions =
      predict_together(spec, std::move(methods), *features, class_words(resolved.switches),
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
