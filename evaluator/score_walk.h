#pragma once

#include <cstdint>
#include <optional>

namespace assay {

__extension__ using uint128 = unsigned __int128;

/// AUROC, AP and F1-max from one walk over the scores, highest first (`spec/metrics.md` 2, 3).
///
/// Between two distinct anomalous scores only false positives change: the caller says how many
/// normal samples lie there (`pass_normals`), then how many samples of either kind share the next
/// anomalous score (`pass_group`). Normal samples below the lowest anomalous score need not be
/// passed.
///
/// A walk may be cut: one that starts further down, where so many samples have been passed, is
/// appended to the one above it.
class ScoreWalk {
 public:
  /// Of all samples; both positive.
  ScoreWalk(std::int64_t num_anomalous,
            std::int64_t num_normal,
            std::int64_t passed_anomalous = 0,
            std::int64_t passed_normal = 0)
      : num_anomalous_(num_anomalous),
        num_normal_(num_normal),
        true_positives_(passed_anomalous),
        false_positives_(passed_normal) {}

  void pass_normals(std::int64_t num_normal) { false_positives_ += num_normal; }
  void pass_group(std::uint32_t key, std::int64_t num_anomalous, std::int64_t num_normal) {
    doubled_lost_ += uint128(num_anomalous) * uint128(2 * false_positives_ + num_normal);
    true_positives_ += num_anomalous;
    false_positives_ += num_normal;
    const std::int64_t positives = true_positives_ + false_positives_;
    precision_sum_ += static_cast<double>(num_anomalous) * static_cast<double>(true_positives_) /
                      static_cast<double>(positives);
    take_best(true_positives_, positives, key);
  }
  void append(const ScoreWalk& below);

  /// The chance that an anomalous sample scores above a normal one, ties counting one half: exact
  /// in integers up to the one division.
  [[nodiscard]] double auroc() const;
  /// sum_g (p_g / P) TP_g / (TP_g + FP_g).
  [[nodiscard]] double ap() const;
  /// max_g 2 TP_g / (P + TP_g + FP_g).
  [[nodiscard]] double f1max() const;
  /// The key of the highest group at which `f1max` is attained.
  [[nodiscard]] std::uint32_t best_key() const { return best_key_; }

 private:
  // Crosswise, so that equal fractions are equal and the first, highest score stays.
  void take_best(std::int64_t true_positives, std::int64_t positives, std::uint32_t key) {
    if (uint128(true_positives) * uint128(num_anomalous_ + best_positives_) >
        uint128(best_true_) * uint128(num_anomalous_ + positives)) {
      best_true_ = true_positives;
      best_positives_ = positives;
      best_key_ = key;
    }
  }

  std::int64_t num_anomalous_, num_normal_;
  std::int64_t true_positives_, false_positives_;
  uint128 doubled_lost_ = 0;  // Twice the pairs in which the normal sample wins; ties count once.
  double precision_sum_ = 0;  // sum_g p_g TP_g / (TP_g + FP_g)
  std::int64_t best_true_ = 0, best_positives_ = 0;
  std::uint32_t best_key_ = 0;
};

/// Area under the per-region overlap curve up to a false positive rate (`spec/metrics.md` 4.1),
/// by the same walk. Weights are fixed-point integers: sums are exact and depend on no order.
///
/// The area is added up sideways: a group of weight w that covers the normal pixels f to f + a
/// raises the curve by w from there to the limit E, w (E - f - a / 2) in all.
class AuproWalk {
 public:
  /// `total_weight` of all anomalous pixels (PRO = 1); `limit` of the false positive rate, in
  /// (0, 1].
  AuproWalk(std::int64_t num_normal,
            std::uint64_t total_weight,
            double limit,
            std::int64_t passed_normal = 0)
      : total_weight_(total_weight),
        end_(limit * static_cast<double>(num_normal)),
        false_positives_(passed_normal) {}

  void pass_normals(std::int64_t num_normal) { false_positives_ += num_normal; }
  void pass_group(std::uint64_t weight, std::int64_t num_normal) {
    const std::int64_t passed = false_positives_ + num_normal;
    if (static_cast<double>(passed) <= end_) {
      weight_ += weight;
      doubled_lost_ += uint128(weight) * uint128(false_positives_ + passed);
    } else if (static_cast<double>(false_positives_) < end_) {
      const double width = end_ - static_cast<double>(false_positives_);
      cut_area_ = static_cast<double>(weight) * width * width / static_cast<double>(2 * num_normal);
    }
    false_positives_ = passed;
  }
  void append(const AuproWalk& below);

  [[nodiscard]] double aupro() const;

 private:
  std::uint64_t total_weight_, weight_ = 0;  // Weight of the groups that end before the limit.
  double end_;  // Limit as a number of normal pixels; not whole in general.
  std::int64_t false_positives_;
  uint128 doubled_lost_ = 0;  // sum w (2 f + a) over those groups.
  double cut_area_ = 0;       // Of the one group that the limit cuts.
};

}  // namespace assay
