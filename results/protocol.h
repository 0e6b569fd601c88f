#pragma once

#include "results/published.h"
#include "results/store.h"

#include <set>
#include <string>
#include <vector>

namespace assay {

/// How the study's own numbers of `method` on `datasets` differ in protocol from those printed in a
/// table, one line for each source of the printed ones. A field that the paper does not state is
/// printed as such, never taken for equal.
[[nodiscard]] std::vector<std::string> protocol_differences(const std::vector<StudyCell>& cells,
                                                            const std::string& method,
                                                            const PublishedTable& table,
                                                            const std::set<std::string>& datasets);

}  // namespace assay
