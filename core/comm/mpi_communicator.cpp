#include "core/comm/mpi_communicator.h"

#include "core/error.h"
#include "core/unique_handle.h"

#include <mpi.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>

namespace assay {
namespace {

void mpi_check(int code, std::string_view call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommError("{} failed: {}", call, std::string_view(text, length));
}

struct MpiCommTraits {
  using Handle = MPI_Comm;
  static Handle none() noexcept { return MPI_COMM_NULL; }
  static void close(Handle comm) noexcept {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Comm_free(&comm);
  }
};
using MpiComm = UniqueHandle<MpiCommTraits>;

MPI_Datatype mpi_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return MPI_FLOAT;
    case at::kDouble: return MPI_DOUBLE;
    case at::kLong: return MPI_INT64_T;
    case at::kInt: return MPI_INT32_T;
    case at::kByte: return MPI_UINT8_T;
    default: throw std::invalid_argument("all_reduce takes float, double, int64, int32 or uint8");
  }
}

// Calls `piece(begin, size)` for consecutive pieces of `total` items, at most `limit` each.
template <typename Piece>
void in_pieces(std::size_t total, std::size_t limit, Piece&& piece) {
  for (std::size_t begin = 0; begin < total; begin += limit) {
    piece(begin, static_cast<int>(std::min(limit, total - begin)));
  }
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MpiComm comm, std::size_t max_message_bytes)
      : comm_(std::move(comm)), max_message_bytes_(max_message_bytes) {
    mpi_check(MPI_Comm_set_errhandler(comm_.get(), MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    mpi_check(MPI_Comm_rank(comm_.get(), &rank_), "MPI_Comm_rank");
    mpi_check(MPI_Comm_size(comm_.get(), &world_size_), "MPI_Comm_size");
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world_size() const override { return world_size_; }

  void all_reduce(at::Tensor& tensor, ReduceOp op) override {
    if (!tensor.is_contiguous() || !tensor.device().is_cpu()) {
      throw std::invalid_argument("all_reduce takes contiguous tensors on the CPU");
    }
    const MPI_Datatype type = mpi_type(tensor.scalar_type());
    const MPI_Op mpi_op = op == ReduceOp::kSum ? MPI_SUM : MPI_MAX;
    auto* data = static_cast<std::byte*>(tensor.data_ptr());
    const auto item = static_cast<std::size_t>(tensor.element_size());
    const std::size_t limit = std::max<std::size_t>(1, max_message_bytes_ / item);
    in_pieces(static_cast<std::size_t>(tensor.numel()), limit, [&](std::size_t begin, int size) {
      mpi_check(MPI_Allreduce(MPI_IN_PLACE, data + begin * item, size, type, mpi_op, comm_.get()),
                "MPI_Allreduce");
    });
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    in_pieces(bytes.size(), max_message_bytes_, [&](std::size_t begin, int size) {
      mpi_check(MPI_Bcast(bytes.data() + begin, size, MPI_BYTE, root, comm_.get()), "MPI_Bcast");
    });
  }

  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) override {
    return exchange({static_cast<std::size_t>(world_size_), bytes});
  }

  [[nodiscard]] std::vector<std::vector<std::byte>> all_to_all(
      const std::vector<std::vector<std::byte>>& parts) override {
    if (parts.size() != static_cast<std::size_t>(world_size_)) {
      throw std::invalid_argument("all_to_all takes one part for each rank");
    }
    return exchange({parts.begin(), parts.end()});
  }

  void barrier() override { mpi_check(MPI_Barrier(comm_.get()), "MPI_Barrier"); }

 private:
  // Sends parts[r] to rank r. Sizes first; then the data point to point in pieces, which MPI keeps
  // in order between two ranks.
  std::vector<std::vector<std::byte>> exchange(
      const std::vector<std::span<const std::byte>>& parts) {
    std::vector<std::uint64_t> send_bytes(parts.size());
    std::vector<std::uint64_t> receive_bytes(parts.size());
    std::ranges::transform(parts, send_bytes.begin(), [](const auto& part) { return part.size(); });
    mpi_check(MPI_Alltoall(send_bytes.data(), 1, MPI_UINT64_T, receive_bytes.data(), 1,
                           MPI_UINT64_T, comm_.get()),
              "MPI_Alltoall");
    std::vector<std::vector<std::byte>> received(parts.size());
    std::vector<MPI_Request> requests;
    for (int peer = 0; peer < world_size_; ++peer) {
      if (peer == rank_) continue;
      received[peer].resize(receive_bytes[peer]);
      in_pieces(received[peer].size(), max_message_bytes_, [&](std::size_t begin, int size) {
        mpi_check(MPI_Irecv(received[peer].data() + begin, size, MPI_BYTE, peer, kTag, comm_.get(),
                            &requests.emplace_back()),
                  "MPI_Irecv");
      });
    }
    for (int shift = 1; shift < world_size_; ++shift) {  // Not all ranks to rank 0 first.
      const int peer = (rank_ + shift) % world_size_;
      in_pieces(parts[peer].size(), max_message_bytes_, [&](std::size_t begin, int size) {
        mpi_check(MPI_Isend(parts[peer].data() + begin, size, MPI_BYTE, peer, kTag, comm_.get(),
                            &requests.emplace_back()),
                  "MPI_Isend");
      });
    }
    received[rank_].assign(parts[rank_].begin(), parts[rank_].end());
    mpi_check(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
              "MPI_Waitall");
    return received;
  }

  static constexpr int kTag = 1;
  MpiComm comm_;
  std::size_t max_message_bytes_;
  int rank_ = 0;
  int world_size_ = 1;
};

// Open MPI copies between processes with process_vm_readv where the kernel has it, and logs a line
// for every message where a container's seccomp profile denies it (open-mpi/ompi#4948).
void avoid_denied_single_copy() {
  char from = 1;
  char to = 0;
  const iovec local{&to, 1};
  const iovec remote{&from, 1};
  if (::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) == 1) return;
  ::setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", /*overwrite=*/1);
}

// Open MPI prints a stack trace when a signal has hit a rank, which takes locks that the rank may
// hold, malloc's for one: it would hang where it should die.
void die_by_signals_at_once() { ::setenv("OMPI_MCA_opal_signal", "", /*overwrite=*/0); }

}  // namespace

MpiSession::MpiSession() {
  int initialized = 0;
  mpi_check(MPI_Initialized(&initialized), "MPI_Initialized");
  if (initialized != 0) throw CommError("MPI was started before in this process; it starts once");
  avoid_denied_single_copy();
  die_by_signals_at_once();
  mpi_check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &thread_level_),
            "MPI_Init_thread");
  mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() == 0) MPI_Finalize();
}

std::string_view MpiSession::thread_level() const {
  switch (thread_level_) {
    case MPI_THREAD_MULTIPLE: return "multiple";
    case MPI_THREAD_SERIALIZED: return "serialized";
    case MPI_THREAD_FUNNELED: return "funneled";
    default: return "single";
  }
}

std::unique_ptr<Communicator> MpiSession::world(std::size_t max_message_bytes) const {
  MPI_Comm comm = MPI_COMM_NULL;
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  return std::make_unique<MpiCommunicator>(MpiComm(comm), max_message_bytes);
}

std::unique_ptr<Communicator> MpiSession::split(int gang) const {
  MPI_Comm comm = MPI_COMM_NULL;
  const int color = gang < 0 ? MPI_UNDEFINED : gang;
  mpi_check(MPI_Comm_split(MPI_COMM_WORLD, color, /*key=*/0, &comm), "MPI_Comm_split");
  if (comm == MPI_COMM_NULL) return nullptr;
  return std::make_unique<MpiCommunicator>(MpiComm(comm), kMaxMessageBytes);
}

void MpiSession::abort(int exit_code) noexcept {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();
}

}  // namespace assay
