#pragma once

#include <chrono>
#include <string>

namespace assay {

/// `2024-05-21T12:00:00.123Z`: how the store writes a time.
[[nodiscard]] std::string utc_text(std::chrono::system_clock::time_point time);
[[nodiscard]] std::string utc_now();

}  // namespace assay
