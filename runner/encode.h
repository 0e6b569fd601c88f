#pragma once

#include "core/comm/communicator.h"
#include "registry/clip.h"
#include "runner/feature_set.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace assay {

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
