#pragma once

#include "registry/method.h"

#include <map>
#include <memory>
#include <string>

namespace assay {

/// A CLIP of the sizes of `assay-tiny`, with weights from the golden generator.
[[nodiscard]] const Clip& tiny_clip();
[[nodiscard]] const Tokenizer& clip_tokenizer();

/// A method on it, at 128 px.
[[nodiscard]] std::unique_ptr<Method> tiny_method(
    const std::string& name,
    const std::map<std::string, nlohmann::json>& overrides = {},
    std::uint64_t seed = 1,
    bool literal = false);

/// Random features at 128 px; every second image is anomalous and has a mask with some pixels.
[[nodiscard]] Batch random_batch(std::int64_t images,
                                 std::int64_t streams = 1,
                                 std::int64_t layers = 1);

}  // namespace assay
