#include "tools/bench/figures.h"

namespace assay {
namespace {

// How a value is formed from a measurement of `units` in `seconds`.
enum class Quantity {
  kRate,         // units / seconds, in `scale`.
  kTime,         // seconds / units, in `scale`.
  kTimesLimit,   // seconds over those that the flops take at the machine's GEMM rate.
  kShareOfGemm,  // The inverse, in percent.
  kTimesFaster,  // Seconds a unit of `other` over those of this.
  kRatio,        // What the bench itself counted.
};

struct Row {
  const char* name;
  const char* what;
  const char* unit;
  Quantity quantity;
  double scale;
  std::optional<double> goal;
  const char* counted;
  const char* other = "";
};

// The table of goals of tools/bench/README.md.
const Row kRows[] = {
    {"faprompt_step", "FAPrompt step, real size, B = 8, K = 10, 2 threads", "x limit",
     Quantity::kTimesLimit, 1, 1.3, "image"},
    {"faprompt_step_one_thread",
     "FAPrompt step, real size, B = 8, K = 10, 1 thread",
     "x limit",
     Quantity::kTimesLimit,
     1,
     {},
     "image"},
    {"anomalyclip_step", "AnomalyCLIP step, real size, B = 8, 2 threads", "x limit",
     Quantity::kTimesLimit, 1, 1.5, "image"},
    {"anomalyclip_step_one_thread",
     "AnomalyCLIP step, real size, B = 8, 1 thread",
     "x limit",
     Quantity::kTimesLimit,
     1,
     {},
     "image"},
    {"faprompt_step_tiny",
     "FAPrompt step on assay-tiny",
     "ms/image",
     Quantity::kTime,
     1e3,
     {},
     "image"},
    {"anomalyclip_step_tiny",
     "AnomalyCLIP step on assay-tiny",
     "ms/image",
     Quantity::kTime,
     1e3,
     {},
     "image"},
    {"map", "map of an image, 37 -> 518, sigma 10", "ms", Quantity::kTime, 1e3, 0.6, "map"},
    {"local_loss", "focal + Dice, forward and backward", "ns/px", Quantity::kTime, 1e9, 7.0, "px"},
    {"exact", "exact AUROC, AP, F1-max, AUPRO", "Mpx/s", Quantity::kRate, 1e-6, 200, "px"},
    {"exact_two_threads", "exact on two threads, over one", "times", Quantity::kTimesFaster, 1, 1.6,
     "px", "exact"},
    {"exact_adeval", "ADEval's two passes (approximate, no F1), over exact", "times",
     Quantity::kTimesFaster, 1, 4, "px", "adeval"},
    {"binned", "binned, 2^16 bins", "Mpx/s", Quantity::kRate, 1e-6, 900, "px"},
    {"cflow200", "aupro_cflow200", "Mpx/s", Quantity::kRate, 1e-6, 200, "px"},
    {"aupimo", "AUPIMO, exact and grid", "Mpx/s", Quantity::kRate, 1e-6, {}, "px"},
    {"label", "labelling masks", "Mpx/s", Quantity::kRate, 1e-6, {}, "px"},
    {"encoder", "ViT-L/14@336 with V-V at 518 px, 2 threads", "% of GEMM", Quantity::kShareOfGemm,
     100, 70, "patch"},
    {"feature_read", "features, warm, without a copy", "GB/s", Quantity::kRate, 1e-9, 8, "byte"},
    {"evaluation_memory", "memory of an evaluation, over one category's maps", "times",
     Quantity::kRatio, 1, 1.0, ""},
    {"binned_memory", "memory of binned, whatever the images", "MB", Quantity::kRatio, 1, 4, ""},
};

const Measurement* find(const Measurements& measurements, const std::string& name) {
  const auto found = measurements.find(name);
  return found == measurements.end() ? nullptr : &found->second;
}

double seconds_a_unit(const Measurement& measurement) {
  return measurement.best() / measurement.units.value_or(1);
}

// Absent where the limit, or the bench to compare with, was not measured.
std::optional<double> value_of(const Row& row,
                               const Measurement& measurement,
                               const Measurements& all) {
  const std::optional<double> times_limit = measurement.usual_times_limit();
  switch (row.quantity) {
    case Quantity::kRate: return row.scale / seconds_a_unit(measurement);
    case Quantity::kTime: return row.scale * seconds_a_unit(measurement);
    case Quantity::kTimesLimit: return times_limit;
    case Quantity::kShareOfGemm:
      return times_limit ? std::optional(row.scale / *times_limit) : std::nullopt;
    case Quantity::kTimesFaster: {
      const Measurement* other = find(all, std::string(row.other) + "/one");
      return other != nullptr ? std::optional(seconds_a_unit(*other) / seconds_a_unit(measurement))
                              : std::nullopt;
    }
    case Quantity::kRatio: return measurement.ratio;
  }
  return std::nullopt;
}

bool higher_is_better(Quantity quantity) {
  return quantity == Quantity::kRate || quantity == Quantity::kShareOfGemm ||
         quantity == Quantity::kTimesFaster;
}

std::optional<Figure> figure_of(const Row& row, const Measurements& all) {
  // ADEval is measured against `exact` itself.
  const std::string bench = row.name == std::string("exact_adeval") ? "exact" : row.name;
  const Measurement* one = find(all, bench + "/one");
  if (one == nullptr) return std::nullopt;
  const std::optional<double> value = value_of(row, *one, all);
  if (!value) return std::nullopt;
  Figure figure{.name = row.name,
                .what = row.what,
                .unit = row.unit,
                .value = *value,
                .higher_is_better = higher_is_better(row.quantity),
                .goal = row.goal,
                .noise = one->noise(),
                .counted = row.counted,
                .ns = {},
                .literal = {}};
  if (row.quantity == Quantity::kRatio) figure.noise = 0;
  if (const Measurement* other = find(all, std::string(row.other) + "/one")) {
    figure.noise += other->noise();
  }
  for (const char* size : {"quarter", "one", "four"}) {
    const Measurement* measurement = find(all, bench + "/" + size);
    if (measurement == nullptr) continue;
    if (row.quantity == Quantity::kRatio) {
      if (measurement->ratio) figure.ns[size] = *measurement->ratio;
    } else if (measurement->units) {
      figure.ns[size] = 1e9 * seconds_a_unit(*measurement);
    }
  }
  const Measurement* literal = find(all, bench + "/literal");
  if (literal != nullptr && row.quantity != Quantity::kTimesFaster) {
    figure.literal = seconds_a_unit(*literal) / seconds_a_unit(*one);
  }
  return figure;
}

}  // namespace

std::optional<bool> Figure::met() const {
  if (!goal) return std::nullopt;
  return higher_is_better ? value >= *goal : value <= *goal;
}

MachineRates machine_rates(const Measurements& measurements) {
  MachineRates rates;
  const auto rate = [&](const char* name, std::optional<double> Measurement::*work, double& out) {
    const Measurement* measurement = find(measurements, name);
    if (measurement != nullptr && measurement->*work) {
      out = *(measurement->*work) / measurement->best();
    }
  };
  rate("machine/gemm/1", &Measurement::flops, rates.gemm_1);
  rate("machine/gemm/2", &Measurement::flops, rates.gemm_2);
  rate("machine/bandwidth", &Measurement::units, rates.bandwidth);
  return rates;
}

std::vector<Figure> figures_of(const Measurements& measurements) {
  std::vector<Figure> figures;
  for (const Row& row : kRows) {
    if (std::optional<Figure> figure = figure_of(row, measurements)) figures.push_back(*figure);
  }
  return figures;
}

}  // namespace assay
