#include "tests/support/thread_communicator.h"

#include "core/error.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace assay {
namespace {

using Parts = std::vector<std::vector<std::byte>>;

// What the ranks of one world share: a barrier that can break, and a place for what they send.
class ThreadWorld {
 public:
  ThreadWorld(int size, double timeout_seconds)
      : sent(size), size_(size), timeout_(timeout_seconds) {}

  void wait() {
    std::unique_lock lock(mutex_);
    const int generation = generation_;
    if (broken_) throw CommError("another rank ended");
    if (++waiting_ == size_) {
      waiting_ = 0;
      ++generation_;
      changed_.notify_all();
      return;
    }
    const bool in_time =
        changed_.wait_for(lock, timeout_, [&] { return broken_ || generation_ != generation; });
    if (generation_ != generation) return;
    if (!in_time) throw CommError("a rank did not come within {} s", timeout_.count());
    throw CommError("another rank ended");
  }

  void leave() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
  }

  std::vector<Parts> sent;  // By sending rank; between two waits only read.

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int size_;
  int waiting_ = 0;
  int generation_ = 0;
  bool broken_ = false;
  std::chrono::duration<double> timeout_;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadWorld& world, int rank, int world_size)
      : world_(world), rank_(rank), world_size_(world_size) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world_size() const override { return world_size_; }

  void all_reduce(at::Tensor& tensor, ReduceOp op) override {
    const std::span own(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
    const Parts parts = all_gather(own);
    at::Tensor result;
    for (const auto& part : parts) {
      at::Tensor other = at::empty_like(tensor);
      if (part.size() != other.nbytes()) throw CommError("all_reduce: sizes differ");
      std::ranges::copy(part, static_cast<std::byte*>(other.data_ptr()));
      if (!result.defined()) {
        result = other;
      } else {
        result = op == ReduceOp::kSum ? result + other : at::maximum(result, other);
      }
    }
    tensor.copy_(result);
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    const Parts parts = all_gather(rank_ == root ? bytes : bytes.first(0));
    if (parts[root].size() != bytes.size()) throw CommError("broadcast: sizes differ");
    std::ranges::copy(parts[root], bytes.begin());
  }

  [[nodiscard]] Parts all_gather(std::span<const std::byte> bytes) override {
    return all_to_all(Parts(world_size_, {bytes.begin(), bytes.end()}));
  }

  [[nodiscard]] Parts all_to_all(const Parts& parts) override {
    if (parts.size() != static_cast<std::size_t>(world_size_)) {
      throw std::invalid_argument("all_to_all takes one part for each rank");
    }
    world_.sent[rank_] = parts;
    world_.wait();
    Parts received;
    for (const Parts& from : world_.sent) received.push_back(from[rank_]);
    world_.wait();
    return received;
  }

  void barrier() override { world_.wait(); }

 private:
  ThreadWorld& world_;
  int rank_, world_size_;
};

}  // namespace

void run_on_threads(int world_size,
                    const std::function<void(Communicator&)>& rank_main,
                    double timeout_seconds) {
  ThreadWorld world(world_size, timeout_seconds);
  std::mutex mutex;
  std::exception_ptr cause;
  std::exception_ptr consequence;
  const auto run_rank = [&](int rank) {
    at::init_num_threads();  // Of the new thread.
    ThreadCommunicator comm(world, rank, world_size);
    try {
      rank_main(comm);
    } catch (const CommError&) {
      const std::lock_guard lock(mutex);
      if (!consequence) consequence = std::current_exception();
      world.leave();
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!cause) cause = std::current_exception();
      world.leave();
    }
  };
  {
    std::vector<std::jthread> ranks;
    for (int rank = 0; rank < world_size; ++rank) ranks.emplace_back(run_rank, rank);
  }
  if (cause) std::rethrow_exception(cause);
  if (consequence) std::rethrow_exception(consequence);
}

}  // namespace assay
