#pragma once

#include "core/comm/communicator.h"
#include "registry/clip.h"
#include "runner/feature_set.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace assay {

/// Features of images, as the store holds them but for its half precision.
struct EncodedImages {
  at::Tensor patch;   ///< [B, E, L, N, J], unit rows.
  at::Tensor norm;    ///< [B, E, L, N]
  at::Tensor global;  ///< [B, J]
};

/// Of preprocessed images [B, 3, S, S] on the device of `clip`. `literal`: with the outputs of the
/// last block that nothing reads (`spec/methods-seeds.md` 3.10, R18 and R19).
[[nodiscard]] EncodedImages encode_pixels(const Clip& clip,
                                          const at::Tensor& pixels,
                                          const FeatureSpec& spec,
                                          bool literal = false);

/// The records of some images: read, preprocessed, encoded, cut to unit rows in half precision.
/// Throws DataError with the path of an image that cannot be read, JobError on a feature that is
/// NaN or infinite.
[[nodiscard]] std::vector<FeatureRecord> encode_images(const Clip& clip,
                                                       const FeatureFiles& files,
                                                       std::int64_t first,
                                                       std::int64_t count);

/// Makes every shard complete, shards dealt to the ranks: what is complete stays (its checksums are
/// read), what is partial goes on, what is damaged or foreign is named on stderr and made again.
/// Batches depend on the image's index alone. `on_image` is told how many images of how many this
/// rank has behind it; `should_stop` is asked between batches. Returns false where it stopped.
///
/// A collective call. Throws JobError on every rank alike.
[[nodiscard]] bool encode_missing_shards(
    const std::function<const Clip&()>& clip,
    const FeatureFiles& files,
    Communicator& comm,
    const std::function<void(std::int64_t done, std::int64_t total)>& on_image,
    const std::function<bool()>& should_stop);

}  // namespace assay
