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
class ScoreWalk {
 public:
  /// Of all samples; both positive.
  ScoreWalk(std::int64_t num_anomalous, std::int64_t num_normal)
      : num_anomalous_(num_anomalous), num_normal_(num_normal) {}

  void pass_normals(std::int64_t num_normal);
  void pass_group(std::uint32_t key, std::int64_t num_anomalous, std::int64_t num_normal);

  /// The chance that an anomalous sample scores above a normal one, ties counting one half: exact
  /// in integers up to the one division.
  [[nodiscard]] double auroc() const;
  /// sum_g (p_g / P) TP_g / (TP_g + FP_g).
  [[nodiscard]] double ap() const;
  /// max_g 2 TP_g / (P + TP_g + FP_g).
  [[nodiscard]] double f1max() const;
  /// The highest score at which `f1max` is attained.
  [[nodiscard]] float f1max_threshold() const;

 private:
  std::int64_t num_anomalous_, num_normal_;
  std::int64_t true_positives_ = 0, false_positives_ = 0;
  uint128 doubled_pairs_ = 0;  // Twice the pairs in which the anomalous sample wins.
  double precision_sum_ = 0;   // sum_g p_g TP_g / (TP_g + FP_g)
  std::int64_t best_true_ = 0, best_positives_ = 0;
  std::uint32_t best_key_ = 0;
};

/// Area under the per-region overlap curve up to a false positive rate (`spec/metrics.md` 4.1),
/// by the same walk. Weights are fixed-point integers: sums are exact and depend on no order.
class AuproWalk {
 public:
  /// `total_weight` of all anomalous pixels (PRO = 1); `limit` of the false positive rate, in
  /// (0, 1].
  AuproWalk(std::int64_t num_normal, std::uint64_t total_weight, double limit)
      : total_weight_(total_weight), end_(limit * static_cast<double>(num_normal)) {}

  void pass_normals(std::int64_t num_normal) { pass_group(0, num_normal); }
  void pass_group(std::uint64_t weight, std::int64_t num_normal);

  [[nodiscard]] double aupro() const;

 private:
  std::uint64_t total_weight_, weight_ = 0;
  std::int64_t false_positives_ = 0;
  double end_;                        // Limit as a number of normal pixels; not whole in general.
  uint128 doubled_area_ = 0;          // Below the pieces that end before the limit.
  std::optional<double> last_piece_;  // Area of the piece that the limit cuts.
};

}  // namespace assay
