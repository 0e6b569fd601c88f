#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

/// Sizes of a synthetic data set, per category.
struct SynthOptions {
  std::int32_t image_size = 160;  ///< Pixels, square.
  std::int64_t train_normal = 30;
  std::int64_t test_normal = 20;
  std::int64_t test_anomalous = 30;  ///< Kinds of defects in turn.
  std::int64_t products = 5;         ///< Designs and colours of a category, in turn.
  std::uint64_t seed = 1;
  bool operator==(const SynthOptions&) const = default;
};

/// The sets that can be drawn: `synth-a`, `synth-b`.
[[nodiscard]] const std::vector<std::string>& synth_names();

/// Default sizes of a set. Throws ConfigError with the nearest name where it is unknown.
[[nodiscard]] SynthOptions default_synth_options(std::string_view name);

/// Draws the set `name` below `root`: `synth-a` in the layout of MVTec AD (`spec/datasets.md` 4.1),
/// `synth-b` in that of VisA (4.2; masks hold the index of the defect's kind, from 1). They share
/// no category and no kind of defect with each other, nor with what `assay-tiny` was pretrained on.
/// The same options give the same bytes.
///
/// Drawn beside `root` and renamed when complete. Where `root` is that very set already, nothing is
/// done and false returned; where anything else is there, a DataError, and nothing is touched.
bool write_synth(std::string_view name,
                 const std::filesystem::path& root,
                 const SynthOptions& options);

}  // namespace assay
