#include "evaluator/score_walk.h"

namespace assay {

void ScoreWalk::append(const ScoreWalk& below) {
  true_positives_ = below.true_positives_;
  false_positives_ = below.false_positives_;
  doubled_lost_ += below.doubled_lost_;
  precision_sum_ += below.precision_sum_;
  take_best(below.best_true_, below.best_positives_, below.best_key_);
}

double ScoreWalk::auroc() const {
  const uint128 doubled_pairs = 2 * uint128(num_anomalous_) * uint128(num_normal_);
  return static_cast<double>(doubled_pairs - doubled_lost_) / static_cast<double>(doubled_pairs);
}

double ScoreWalk::ap() const { return precision_sum_ / static_cast<double>(num_anomalous_); }

double ScoreWalk::f1max() const {
  return static_cast<double>(2 * best_true_) /
         static_cast<double>(num_anomalous_ + best_positives_);
}

void AuproWalk::append(const AuproWalk& below) {
  weight_ += below.weight_;
  false_positives_ = below.false_positives_;
  doubled_lost_ += below.doubled_lost_;
  cut_area_ += below.cut_area_;
}

double AuproWalk::aupro() const {
  const double whole = static_cast<double>(weight_) * end_;
  return (whole - static_cast<double>(doubled_lost_) / 2 + cut_area_) /
         (static_cast<double>(total_weight_) * end_);
}

}  // namespace assay
