#include "core/comm/mpi_relay.h"

#include "core/error.h"

#include <mpi.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

namespace assay {
namespace {

constexpr int kTag = 7;
constexpr int kIdleMilliseconds = 2;
constexpr std::size_t kChunk = std::size_t{1} << 16;

/// One end of a relay: a loop over both directions, of which neither waits for the other. No bytes
/// in a message mean the end of that direction.
class Relay {
 public:
  Relay(MPI_Comm comm, int peer, Descriptor in, Descriptor out)
      : comm_(comm), peer_(peer), in_(std::move(in)), out_(std::move(out)) {}

  void run() {
    while (sending_ || receiving_) {
      const bool moved = send() | receive();
      if (!moved) wait();
    }
  }

 private:
  /// One message is on its way at most: it waits where the peer is slow.
  bool send() {
    if (!sending_) return false;
    if (request_ != MPI_REQUEST_NULL) {
      int done = 0;
      MPI_Test(&request_, &done, MPI_STATUS_IGNORE);
      if (done == 0) return false;
      if (size_ == 0) sending_ = false;
      return true;
    }
    pollfd descriptor{in_.get(), POLLIN, 0};
    if (::poll(&descriptor, 1, 0) <= 0) return false;
    const ssize_t count = ::read(in_.get(), chunk_.data(), chunk_.size());
    if (count < 0 && errno == EINTR) return true;
    size_ = count > 0 ? static_cast<int>(count) : 0;
    MPI_Isend(chunk_.data(), size_, MPI_BYTE, peer_, kTag, comm_, &request_);
    return true;
  }

  bool receive() {
    if (!receiving_) return false;
    int there = 0, size = 0;
    MPI_Status status;
    MPI_Iprobe(peer_, kTag, comm_, &there, &status);
    if (there == 0) return false;
    MPI_Get_count(&status, MPI_BYTE, &size);
    std::vector<char> bytes(static_cast<std::size_t>(size));
    MPI_Recv(bytes.data(), size, MPI_BYTE, peer_, kTag, comm_, MPI_STATUS_IGNORE);
    if (size == 0) {
      receiving_ = false;
      out_.reset();
    }
    write_all(bytes);
    return true;
  }

  void write_all(const std::vector<char>& bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t count = ::write(out_.get(), bytes.data() + done, bytes.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return;  // Nobody reads any more.
      done += static_cast<std::size_t>(count);
    }
  }

  void wait() {
    pollfd descriptor{in_.get(), POLLIN, 0};
    const bool listen = sending_ && request_ == MPI_REQUEST_NULL;
    ::poll(&descriptor, listen ? 1 : 0, kIdleMilliseconds);
  }

  MPI_Comm comm_;
  int peer_;
  Descriptor in_, out_;
  std::array<char, kChunk> chunk_{};
  int size_ = 0;
  MPI_Request request_ = MPI_REQUEST_NULL;
  bool sending_ = true, receiving_ = true;
};

}  // namespace

struct MpiRelays::State {
  MPI_Comm comm = MPI_COMM_NULL;
  std::vector<std::thread> threads;
};

MpiRelays::MpiRelays() : state_(std::make_unique<State>()) {
  int level = 0;
  MPI_Query_thread(&level);
  if (level != MPI_THREAD_MULTIPLE) {
    throw CommError(
        "this MPI does not let several threads communicate (MPI_THREAD_MULTIPLE), which 'mpirun "
        "... assay run' needs; 'assay run --ranks N' starts its ranks itself and does without");
  }
  if (MPI_Comm_dup(MPI_COMM_WORLD, &state_->comm) != MPI_SUCCESS) {
    throw CommError("MPI_Comm_dup failed");
  }
}

MpiRelays::~MpiRelays() {
  for (std::thread& thread : state_->threads) thread.join();
  MPI_Comm_free(&state_->comm);
}

void MpiRelays::connect(int peer, Descriptor in, Descriptor out) {
  state_->threads.emplace_back([relay = std::make_unique<Relay>(state_->comm, peer, std::move(in),
                                                                std::move(out))] { relay->run(); });
}

}  // namespace assay
