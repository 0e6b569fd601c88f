#include "evaluator/category_pixels.h"
#include "evaluator/exact_pixels.h"
#include "evaluator/metrics.h"

#include <fmt/format.h>

#include <stdexcept>

namespace assay {
namespace {

void check_finite(const CategoryPixels& category) {
  for (std::size_t i = 0; i < category.masks.size(); ++i) {
    (void)finite_range(category.map_of(i, /*thread=*/0), i, category.masks[i].width);
  }
}

PixelMetrics metrics_of(const CategoryPixels& category, const PixelOptions& options) {
  if (!(options.aupro_limit > 0 && options.aupro_limit <= 1)) {
    throw std::invalid_argument(fmt::format(
        "pixel_metrics: aupro_limit is {}, expected a number in (0, 1]", options.aupro_limit));
  }
  PixelMetrics metrics;
  metrics.num_normal = category.num_normal;
  metrics.num_anomalous = category.num_anomalous;
  metrics.num_regions = static_cast<std::int64_t>(category.weights.size());
  if (category.num_anomalous == 0)
    metrics.undefined_because = "no_anomalous_pixels";
  else if (category.num_normal == 0)
    metrics.undefined_because = "no_normal_pixels";
  metrics.cflow200_undefined_because = metrics.undefined_because;
  if (!metrics.undefined_because.empty()) {
    check_finite(category);  // An error all the same.
    return metrics;
  }

  const ExactWalks walks = exact_walks(category, options);
  if (!walks.range.is_finite()) check_finite(category);
  metrics.auroc = walks.scores.auroc();
  metrics.ap = walks.scores.ap();
  metrics.f1max = walks.scores.f1max();
  metrics.f1max_threshold = score_of_key(walks.scores.best_key());
  metrics.aupro = walks.aupro.aupro();
  metrics.aupro_cflow200 = walks.cflow200.value;
  metrics.cflow200_undefined_because = walks.cflow200.undefined_because;
  return metrics;
}

}  // namespace

PixelMetrics pixel_metrics(std::span<const std::span<const float>> maps,
                           std::span<const MaskRuns> masks,
                           const PixelOptions& options) {
  return metrics_of(category_pixels(maps, masks), options);
}

PixelMetrics pixel_metrics(const MapSource& map_of,
                           std::span<const MaskRuns> masks,
                           const PixelOptions& options) {
  return metrics_of(category_pixels(map_of, masks), options);
}

}  // namespace assay
