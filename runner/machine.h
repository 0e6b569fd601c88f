#pragma once

#include <string>

namespace assay {

/// What the numbers of a profile job belong to.
struct Machine {
  std::string device = "cpu";  ///< Or a GPU's name.
  std::string host;
  std::string build;  ///< Versions of assay, compiler and LibTorch; build type, architecture.
  bool operator==(const Machine&) const = default;
};

/// The host and build of this process.
[[nodiscard]] Machine this_machine(std::string device = "cpu");

}  // namespace assay
