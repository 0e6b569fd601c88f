#include "evaluator/metrics.h"
#include "evaluator/score_key.h"
#include "evaluator/score_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

namespace assay {
namespace {

template <typename Score>
void check_finite(std::span<const Score> scores) {
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i])) continue;
    throw std::invalid_argument(fmt::format(
        "image_metrics: the score of image {} is {}, expected a finite number", i, scores[i]));
  }
}

// Keys with the label in the lowest bit: what sorts like the scores.
std::vector<std::uint64_t> labelled_keys(std::span<const float> scores,
                                         std::span<const std::uint8_t> labels) {
  std::vector<std::uint64_t> keys(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    keys[i] = std::uint64_t{score_key(scores[i])} << 1 | (labels[i] != 0 ? 1U : 0U);
  }
  return keys;
}

}  // namespace

ImageMetrics image_metrics(std::span<const float> scores, std::span<const std::uint8_t> labels) {
  if (scores.size() != labels.size()) {
    throw std::invalid_argument(
        fmt::format("image_metrics: {} scores, {} labels", scores.size(), labels.size()));
  }
  check_finite(scores);
  std::vector<std::uint64_t> keys = labelled_keys(scores, labels);
  std::sort(keys.begin(), keys.end(), std::greater<>());

  ImageMetrics metrics;
  metrics.num_anomalous = std::count_if(labels.begin(), labels.end(), [](int y) { return y != 0; });
  metrics.num_normal = static_cast<std::int64_t>(labels.size()) - metrics.num_anomalous;
  if (metrics.num_anomalous == 0)
    metrics.undefined_because = "no_anomalies";
  else if (metrics.num_normal == 0)
    metrics.undefined_because = "no_normals";
  if (!metrics.undefined_because.empty()) return metrics;

  ScoreWalk walk(metrics.num_anomalous, metrics.num_normal);
  for (std::size_t first = 0, last = 0; first < keys.size(); first = last) {
    std::int64_t count[2] = {0, 0};
    for (; last < keys.size() && keys[last] >> 1 == keys[first] >> 1; ++last) {
      ++count[keys[last] & 1];
    }
    if (count[1] == 0)
      walk.pass_normals(count[0]);
    else
      walk.pass_group(static_cast<std::uint32_t>(keys[first] >> 1), count[1], count[0]);
  }
  metrics.auroc = walk.auroc();
  metrics.ap = walk.ap();
  metrics.f1max = walk.f1max();
  metrics.f1max_threshold = score_of_key(walk.best_key());
  return metrics;
}

// The metrics see only the order of the scores: each is replaced by its place in it.
ImageMetrics image_metrics(std::span<const double> scores, std::span<const std::uint8_t> labels) {
  check_finite(scores);
  std::vector<double> distinct(scores.begin(), scores.end());
  std::ranges::sort(distinct);
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  const std::uint32_t first_key = score_key(0);
  std::vector<float> places;
  for (const double score : scores) {
    const auto place = std::ranges::lower_bound(distinct, score) - distinct.begin();
    places.push_back(score_of_key(first_key + static_cast<std::uint32_t>(place)));
  }
  ImageMetrics metrics = image_metrics(places, labels);
  if (metrics.f1max_threshold) {
    const double threshold = distinct[score_key(*metrics.f1max_threshold) - first_key];
    metrics.f1max_threshold = static_cast<float>(threshold + 0.0);  // +0 for both zeros.
  }
  return metrics;
}

}  // namespace assay
