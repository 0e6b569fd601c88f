#pragma once

#include "evaluator/category_pixels.h"
#include "evaluator/score_key.h"
#include "evaluator/score_walk.h"

namespace assay {

struct ExactWalks {
  ScoreWalk scores;
  AuproWalk aupro;
  KeyRange range;  ///< Of all scores.
};

/// The walks over all distinct anomalous scores of a category with pixels of both kinds, on
/// `num_threads` threads: the same bits for every number of threads and order of images
/// (`spec/metrics.md` 7.1, with no key sorted). Does not check that scores are finite: `range`
/// says.
[[nodiscard]] ExactWalks exact_walks(const CategoryPixels& pixels,
                                     double aupro_limit,
                                     int num_threads);

}  // namespace assay
