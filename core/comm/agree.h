#pragma once

#include "core/comm/communicator.h"

#include <functional>
#include <string>
#include <vector>

namespace assay {

/// Runs `work`, which must not communicate, on this rank, and returns once all ranks have: either
/// it succeeded on all, or every rank throws the same JobError, with the message of the lowest rank
/// on which it threw. What a job brings upon itself thus never leaves one rank waiting for another.
void agree(Communicator& comm, const std::function<void()>& work);

/// The first half of `agree`, where the failures travel with other data: runs `work` and returns
/// what went wrong, empty where nothing did. A CommError passes: there is nobody left to tell. So
/// does an error of CUDA, as one: after it no call of this process succeeds (memory that ran out is
/// no such error).
[[nodiscard]] std::string failure_of(const std::function<void()>& work);
/// The second half: `failures` by rank, the same on every rank.
void throw_first_failure(const std::vector<std::string>& failures);

/// Whether `flag` is set on some rank.
[[nodiscard]] bool any_rank(Communicator& comm, bool flag);

/// The text of `root` on every rank.
[[nodiscard]] std::string broadcast_text(Communicator& comm, const std::string& text, int root = 0);

}  // namespace assay
