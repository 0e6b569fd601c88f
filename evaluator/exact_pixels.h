#pragma once

#include "evaluator/category_pixels.h"
#include "evaluator/cflow200.h"
#include "evaluator/metrics.h"
#include "evaluator/score_key.h"
#include "evaluator/score_walk.h"

namespace assay {

struct ExactWalks {
  ScoreWalk scores;
  AuproWalk aupro;
  KeyRange range;  ///< Of all scores.
  Cflow200 cflow200;
};

/// The walks over all distinct anomalous scores of a category with pixels of both kinds: the same
/// bits for every number of threads and order of images (`spec/metrics.md` 7.1, with no key
/// sorted). Two passes over the maps: the first one for what lies where, the second one counts.
/// Does not check that scores are finite: `range` says.
[[nodiscard]] ExactWalks exact_walks(const CategoryPixels& pixels, const PixelOptions& options);

}  // namespace assay
