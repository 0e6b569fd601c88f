#include "evaluator/score_walk.h"

#include "evaluator/score_key.h"

namespace assay {

void ScoreWalk::pass_normals(std::int64_t num_normal) {
  doubled_pairs_ += uint128(num_normal) * uint128(2 * true_positives_);
  false_positives_ += num_normal;
}

void ScoreWalk::pass_group(std::uint32_t key, std::int64_t num_anomalous, std::int64_t num_normal) {
  doubled_pairs_ += uint128(num_normal) * uint128(2 * true_positives_ + num_anomalous);
  true_positives_ += num_anomalous;
  false_positives_ += num_normal;
  const std::int64_t positives = true_positives_ + false_positives_;
  precision_sum_ += static_cast<double>(num_anomalous) * static_cast<double>(true_positives_) /
                    static_cast<double>(positives);
  // Crosswise, so that equal fractions are equal and the first, highest score stays.
  if (uint128(true_positives_) * uint128(num_anomalous_ + best_positives_) >
      uint128(best_true_) * uint128(num_anomalous_ + positives)) {
    best_true_ = true_positives_;
    best_positives_ = positives;
    best_key_ = key;
  }
}

double ScoreWalk::auroc() const {
  // All anomalous samples win against the normal ones that were not passed.
  const uint128 rest = uint128(num_normal_ - false_positives_) * uint128(2 * true_positives_);
  return static_cast<double>(doubled_pairs_ + rest) /
         static_cast<double>(2 * uint128(num_anomalous_) * uint128(num_normal_));
}

double ScoreWalk::ap() const { return precision_sum_ / static_cast<double>(num_anomalous_); }

double ScoreWalk::f1max() const {
  return static_cast<double>(2 * best_true_) /
         static_cast<double>(num_anomalous_ + best_positives_);
}

float ScoreWalk::f1max_threshold() const { return score_of_key(best_key_); }

void AuproWalk::pass_group(std::uint64_t weight, std::int64_t num_normal) {
  if (last_piece_) return;
  if (static_cast<double>(false_positives_ + num_normal) <= end_) {
    doubled_area_ += uint128(num_normal) * (uint128(weight_) + weight_ + weight);
    false_positives_ += num_normal;
    weight_ += weight;
    return;
  }
  const double width = end_ - static_cast<double>(false_positives_);
  const double rise = static_cast<double>(weight) * width / static_cast<double>(num_normal);
  last_piece_ = width * (static_cast<double>(weight_) + rise / 2);
}

double AuproWalk::aupro() const {
  // Where the walk ended before the limit, all regions are covered and normals alone are left.
  const double rest = (end_ - static_cast<double>(false_positives_)) * static_cast<double>(weight_);
  return (static_cast<double>(doubled_area_) / 2 + last_piece_.value_or(rest)) /
         (static_cast<double>(total_weight_) * end_);
}

}  // namespace assay
