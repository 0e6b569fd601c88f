#pragma once

#include <cstddef>
#include <functional>

namespace assay {

/// Calls `work(thread)` for thread 0 to num_threads - 1 at the same time, number 0 on the caller's
/// thread, and returns when all have. What a call throws is thrown again, that of the lowest
/// number.
void on_threads(int num_threads, const std::function<void(int thread)>& work);

/// Calls `work(item, thread)` once for every item in [0, num_items), on whichever of the threads is
/// free next: an item must give the same result on each. What a call throws is thrown again, that
/// of the lowest item; of those above it some are left out.
void for_each_item(int num_threads,
                   std::size_t num_items,
                   const std::function<void(std::size_t item, int thread)>& work);

}  // namespace assay
