#pragma once

#include "core/comm/communicator.h"

#include <functional>
#include <string>

namespace assay {

/// Runs `compute` and returns what went wrong, for the other ranks to know; empty where nothing
/// did. A CommError passes: there is nobody left to tell.
[[nodiscard]] std::string failure_of(const std::function<void()>& compute);

/// Throws JobError with the failure of the first rank that has one, on every rank alike. A
/// collective call: a rank that failed alone must not leave the others waiting in the next one.
void agree(Communicator& comm, const std::string& failure);

/// The same where the failures of all ranks (by rank) have travelled with other data.
void throw_first_failure(const std::vector<std::string>& failures);

}  // namespace assay
