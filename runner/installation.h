#pragma once

#include <filesystem>
#include <string>

namespace assay {

/// Where the parts of this installation lie: relative to the running program, which is in
/// `build/<preset>/` of the sources.
struct Installation {
  std::filesystem::path worker;            ///< `assay-worker`, beside `assay`.
  std::filesystem::path sources;           ///< The checkout.
  std::filesystem::path embedded_weights;  ///< $ASSAY_EMBEDDED_WEIGHTS, else the sources.
  std::filesystem::path merges;            ///< CLIP's BPE merges: $ASSAY_BPE_MERGES, else .deps/.
};

[[nodiscard]] Installation installation();

/// `installation().worker`. Throws ConfigError where it cannot be executed.
[[nodiscard]] std::filesystem::path find_worker();

}  // namespace assay
