#pragma once

#include "datasets/synth_drawing.h"

#include <cstdint>

namespace assay {

/// Burns the badges of an inspection station into a picture, as such stations do: a blue disc with
/// a white cross at the top left (`calibrated`) and a red one with a white bar at the bottom right
/// (`recording`), each on every second picture at random.
///
/// Which badges a picture bears follows from `specimen_seed` alone: not from its set, its category,
/// or whether it shows a defect. They say nothing of the thing, but who never saw them (assay-tiny
/// was pretrained without) may take them for a defect. The mask is left as it is: it is about the
/// thing, not about the picture.
void burn_in_badges(Drawing& drawing, std::uint64_t specimen_seed);

}  // namespace assay
