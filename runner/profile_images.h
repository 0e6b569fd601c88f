#pragma once

#include "registry/method.h"
#include "runner/encode.h"
#include "runner/jobs.h"
#include "runner/stopwatch.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace assay {

/// The first images of a target, preprocessed and on the device, with their truth; and what it took
/// to get them there.
struct ProfileImages {
  at::Tensor pixels;                ///< [n, 3, S, S]
  Batch truth;                      ///< Labels, masks and class words; no features.
  std::vector<MaskRuns> mask_runs;  ///< Empty: the set has no masks.
  Stopwatch decode, preprocess, copy;

  /// Features of some of the images, with their truth. `literal`: as `encode_pixels`, in single
  /// precision; else as the feature store would give them.
  [[nodiscard]] Batch encode(const Clip& clip,
                             const FeatureSpec& spec,
                             std::span<const std::int64_t> images,
                             bool literal) const;
};

/// Reads the first `count` images, on this rank alone. `masks`: of all images of the set, or null.
[[nodiscard]] ProfileImages read_profile_images(const FeatureFiles& files,
                                                const std::vector<MaskRuns>* masks,
                                                std::int64_t count,
                                                const JobContext& context);

}  // namespace assay
