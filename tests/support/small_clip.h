#pragma once

#include "tests/support/golden.h"

namespace assay {

/// Sizes of a CLIP that a test can afford: 2 heads in either tower, a vocabulary of 100.
inline ClipSizes small_clip_sizes() {
  return {.vision_width = 128,
          .vision_layers = 5,
          .patch = 8,
          .native_grid = 3,
          .text_width = 128,
          .text_layers = 5,
          .context = 77,
          .vocabulary = 100,
          .joint = 64};
}

/// Its weights, from the golden generator.
inline TensorMap small_clip_weights() { return golden_clip("small", small_clip_sizes()); }

}  // namespace assay
