#include "core/threads.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace assay {

void on_threads(int num_threads, const std::function<void(int thread)>& work) {
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(num_threads));
  const auto guarded = [&](int thread) {
    try {
      work(thread);
    } catch (...) {
      errors[static_cast<std::size_t>(thread)] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (int thread = 1; thread < num_threads; ++thread) others.emplace_back(guarded, thread);
    guarded(0);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

void for_each_item(int num_threads,
                   std::size_t num_items,
                   const std::function<void(std::size_t item, int thread)>& work) {
  struct Failure {
    std::size_t item;
    std::exception_ptr error;
  };
  std::vector<Failure> failures(static_cast<std::size_t>(num_threads), {num_items, nullptr});
  std::atomic<std::size_t> next = 0;
  on_threads(num_threads, [&](int thread) {
    // Items are handed out in order: those below one that fails are all done by someone.
    for (std::size_t item = next++; item < num_items; item = next++) {
      try {
        work(item, thread);
      } catch (...) {
        failures[static_cast<std::size_t>(thread)] = {item, std::current_exception()};
        next = num_items;
      }
    }
  });
  const Failure& first = *std::ranges::min_element(failures, {}, &Failure::item);
  if (first.error) std::rethrow_exception(first.error);
}

}  // namespace assay
