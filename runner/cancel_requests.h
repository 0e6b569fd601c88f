#pragma once

#include "runner/workspace.h"

#include <string>
#include <vector>

namespace assay {

/// What somebody wants to end before it is done.
struct CancelRequest {
  bool all = false;               ///< Every job of the run.
  std::vector<std::string> jobs;  ///< Full ids; those that the run does not know are ignored.
};

/// Leaves a request for the coordinator of `workspace`, which looks every second: a file
/// `cancel/<process>-<n>.json`. What waits is cancelled, with all that needs it; what runs keeps
/// its state and stops. The next run takes cancelled jobs up again.
void request_cancel(const Workspace& workspace, const CancelRequest& request);

/// The coordinator's side: the requests that have come, each removed. What is no request is
/// removed too.
[[nodiscard]] std::vector<CancelRequest> take_cancel_requests(const Workspace& workspace);

}  // namespace assay
