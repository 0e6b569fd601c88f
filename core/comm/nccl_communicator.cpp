#include "core/comm/nccl_communicator.h"

#include "core/comm/cuda_check.h"
#include "core/gpu.h"
#include "core/unique_handle.h"

#include <ATen/core/Tensor.h>
#include <nccl.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace assay {
namespace {

struct NcclCommTraits {
  using Handle = ncclComm_t;
  static Handle none() noexcept { return nullptr; }
  // Abort, not destroy: destroy may wait for a peer that has already died. Nothing is lost: a call
  // returns when its result is there.
  static void close(Handle comm) noexcept { ncclCommAbort(comm); }
};
using NcclComm = UniqueHandle<NcclCommTraits>;

struct StreamTraits {
  using Handle = cudaStream_t;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle stream) noexcept { cudaStreamDestroy(stream); }
};
using Stream = UniqueHandle<StreamTraits>;

ncclDataType_t nccl_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return ncclFloat32;
    case at::kDouble: return ncclFloat64;
    case at::kLong: return ncclInt64;
    case at::kInt: return ncclInt32;
    case at::kByte: return ncclUint8;
    default: throw std::invalid_argument("all_reduce takes float, double, int64, int32 or uint8");
  }
}

/// Waits a little longer each time: a step's reduction takes microseconds, a peer that still loads
/// images minutes.
class Patience {
 public:
  explicit Patience(double seconds)
      : deadline_(std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds)) {}

  /// False once the time is over.
  [[nodiscard]] bool wait() {
    if (std::chrono::steady_clock::now() > deadline_) return false;
    if (++turns_ < kSpins) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
  }

 private:
  static constexpr int kSpins = 2000;
  std::chrono::time_point<std::chrono::steady_clock, std::chrono::duration<double>> deadline_;
  int turns_ = 0;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, int gpu, double timeout_seconds)
      : host_(host), gpu_(gpu), timeout_seconds_(timeout_seconds) {
    cuda_check(cudaSetDevice(gpu_), "cudaSetDevice");
    // A stream of the blocking kind: it waits for what ATen has queued on the default stream, and
    // the default stream waits for it.
    cudaStream_t stream = nullptr;
    cuda_check(cudaStreamCreate(&stream), "cudaStreamCreate");
    stream_ = Stream(stream);
    ncclUniqueId id{};
    if (rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    host_.broadcast(std::as_writable_bytes(std::span(&id, 1)), /*root=*/0);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;  // So that a peer that never comes can be given up.
    ncclComm_t comm = nullptr;
    const ncclResult_t begun = ncclCommInitRankConfig(&comm, world_size(), id, rank(), &config);
    comm_ = NcclComm(comm);
    check(begun, "ncclCommInitRankConfig");
    wait_until([this] { return ready("ncclCommInitRankConfig"); }, "ncclCommInitRankConfig");
  }

  [[nodiscard]] int rank() const override { return host_.rank(); }
  [[nodiscard]] int world_size() const override { return host_.world_size(); }

  void all_reduce(at::Tensor& tensor, ReduceOp op) override {
    if (tensor.is_cpu()) {
      host_.all_reduce(tensor, op);
      return;
    }
    if (!tensor.is_contiguous() || !tensor.is_cuda() || tensor.get_device() != gpu_) {
      throw std::invalid_argument(
          "all_reduce takes contiguous tensors on the CPU or on the rank's own GPU");
    }
    if (!comm_) throw CommError("the NCCL communicator of rank {} was aborted", rank());
    const std::string call = fmt::format("ncclAllReduce of {} x {}", tensor.numel(),
                                         c10::toString(tensor.scalar_type()));
    void* data = tensor.data_ptr();
    cuda_check(cudaSetDevice(gpu_), "cudaSetDevice");  // The calling thread may be another one.
    check(ncclAllReduce(data, data, static_cast<std::size_t>(tensor.numel()),
                        nccl_type(tensor.scalar_type()), op == ReduceOp::kSum ? ncclSum : ncclMax,
                        comm_.get(), stream_.get()),
          call);
    // The communicator does not block: its work is in the stream only when NCCL is ready.
    wait_until([&] { return ready(call) && stream_is_done(call); }, call);
  }

  void broadcast(std::span<std::byte> bytes, int root) override { host_.broadcast(bytes, root); }
  [[nodiscard]] std::vector<std::vector<std::byte>> all_gather(
      std::span<const std::byte> bytes) override {
    return host_.all_gather(bytes);
  }
  [[nodiscard]] std::vector<std::vector<std::byte>> all_to_all(
      const std::vector<std::vector<std::byte>>& parts) override {
    return host_.all_to_all(parts);
  }
  void barrier() override { host_.barrier(); }

 private:
  template <typename Done>
  void wait_until(const Done& done, const std::string& call) {
    Patience patience(timeout_seconds_);
    while (!done()) {
      if (patience.wait()) continue;
      fail(call, fmt::format("waited {} s for the other ranks, of which one hangs or has died",
                             timeout_seconds_));
    }
  }

  /// Whether NCCL has done all it was told on the CPU's side. Throws on an asynchronous error.
  bool ready(const std::string& call) {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comm_.get(), &state), "ncclCommGetAsyncError");
    check(state, call);
    return state != ncclInProgress;
  }

  bool stream_is_done(const std::string& call) {
    const cudaError_t state = cudaStreamQuery(stream_.get());
    if (state == cudaErrorNotReady) return false;
    if (state != cudaSuccess) fail(call, cudaGetErrorString(state));
    return true;
  }

  void check(ncclResult_t code, const std::string& call) {
    if (code == ncclSuccess || code == ncclInProgress) return;
    std::string what = ncclGetErrorString(code);
    const char* last = comm_ ? ncclGetLastError(comm_.get()) : nullptr;
    if (last != nullptr && *last != '\0') what += fmt::format(": {}", last);
    const std::string memory = shared_memory_warning();
    if (code == ncclSystemError && !memory.empty()) what += "; " + memory;
    fail(call, what);
  }

  [[noreturn]] void fail(const std::string& call, const std::string& what) {
    comm_.reset();
    throw CommError("[rank {}/{} GPU {}] {} failed: {}; NCCL_DEBUG=INFO tells more", rank(),
                    world_size(), gpu_, call, what);
  }

  Communicator& host_;
  int gpu_;
  double timeout_seconds_;
  Stream stream_;
  NcclComm comm_;  // Aborted before its stream goes.
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host,
                                                     int gpu,
                                                     double timeout_seconds) {
  return std::make_unique<NcclCommunicator>(host, gpu, timeout_seconds);
}

}  // namespace assay
