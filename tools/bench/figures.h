#pragma once

#include "tools/bench/measurements.h"

#include <optional>
#include <string>
#include <vector>

namespace assay {

/// One line of the bench table.
struct Figure {
  std::string name;  ///< That of the bench, before the size.
  std::string what;  ///< In words.
  std::string unit;  ///< Of the value: `Mpx/s`, `x limit`, ...
  double value = 0;
  bool higher_is_better = false;
  std::optional<double> goal;
  double noise = 0;                  ///< Of the value, as a fraction.
  std::string counted;               ///< What costs are counted in: pixels, images, ...
  std::map<std::string, double> ns;  ///< By size (quarter, one, four): nanoseconds for each.
  std::optional<double> literal;     ///< How many times longer the literal computation takes.

  [[nodiscard]] std::optional<bool> met() const;
};

/// Rates of the machine, measured between the figures.
struct MachineRates {
  double gemm_1 = 0, gemm_2 = 0;  ///< Floating-point operations a second, one and two threads.
  double bandwidth = 0;           ///< Bytes a second, one thread reading.
};

[[nodiscard]] MachineRates machine_rates(const Measurements& measurements);

/// The figures that can be formed from what was measured, in the order of the table.
[[nodiscard]] std::vector<Figure> figures_of(const Measurements& measurements);

}  // namespace assay
