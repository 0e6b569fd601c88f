#pragma once

#include "core/file.h"

#include <filesystem>
#include <span>

namespace assay {

/// The descriptors that only rank 0 keeps after `start_rank`.
struct ControlDescriptors {
  Descriptor input, events;
};

/// The first thing a rank does, before any library can print or start a thread: it dies with its
/// launcher, its descriptors 1 and 2 go to `<folder>/rank<N>.log`, 0 to /dev/null, and
/// `<folder>/rank<N>.json` says which process it is. Rank 0 gets what was behind 0 and 1.
[[nodiscard]] ControlDescriptors start_rank(const std::filesystem::path& folder, int rank);

/// Binds this process and the threads that it will start to these CPUs. What the machine does not
/// allow is said in the log.
void bind_to_cores(std::span<const int> cores);

}  // namespace assay
