#pragma once

#include "runner/plan.h"
#include "runner/variant.h"

#include <cstdint>
#include <string>
#include <vector>

namespace assay {

/// What a variant trains on for one target.
struct TrainingSet {
  std::vector<std::string> sets;       ///< Sorted.
  std::string split;                   ///< `test`, `all`, or `a: test, b: all`.
  std::vector<const Manifest*> parts;  ///< Borrowed from the inputs; none is empty.

  [[nodiscard]] std::int64_t num_images() const;
};

/// The auxiliary sets of a target (`spec/ablations.md` 4.1), by one of the study's `train_on`.
/// Throws ConfigError where it names none, or the target itself without an entry of its own.
[[nodiscard]] const std::vector<std::string>& auxiliary_sets(
    const Study& study,
    const ByName<std::vector<std::string>>& train_on,
    const Variant& variant,
    const std::string& target);

/// The images of a list of sets.
[[nodiscard]] TrainingSet training_set(const Study& study,
                                       const Variant& variant,
                                       const std::vector<std::string>& sets,
                                       PlanInputs& inputs);

/// Throws ConfigError where a loss needs masks that a set lacks and no switch says what to do
/// (`cases.md` J04), and where nothing is left to learn (`spec/ablations.md` 4.3).
void check_masks(const Study& study, const Variant& variant, const TrainingSet& training);

/// Switches without an effect on this training set, which stay out of the identity.
[[nodiscard]] std::vector<std::string> idle_switches(const TrainingSet& training);

/// Training images that are also in the target, by content. Throws ConfigError where there are
/// some and the study does not allow it.
[[nodiscard]] std::int64_t count_overlap(const Study& study,
                                         const TrainingSet& training,
                                         const Manifest& target);

}  // namespace assay
