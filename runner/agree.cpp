#include "runner/agree.h"

#include "core/error.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <cstring>
#include <span>

namespace assay {

void agree(Communicator& comm, const std::function<void()>& work) {
  std::string error;
  try {
    work();
  } catch (const CommError&) {
    throw;
  } catch (const std::bad_alloc&) {
    error = "out of memory";
  } catch (const std::exception& thrown) {
    error = thrown.what();
    if (error.empty()) error = "an error without a message";
  }
  for (const auto& bytes : comm.all_gather(std::as_bytes(std::span(error)))) {
    if (bytes.empty()) continue;
    std::string first(bytes.size(), '\0');
    std::memcpy(first.data(), bytes.data(), bytes.size());
    throw JobError("{}", first);
  }
}

bool any_rank(Communicator& comm, bool flag) {
  at::Tensor value = at::full({1}, flag ? 1 : 0, at::kLong);
  comm.all_reduce(value, ReduceOp::kMax);
  return value.item<std::int64_t>() != 0;
}

std::string broadcast_text(Communicator& comm, const std::string& text, int root) {
  std::uint64_t size = text.size();
  comm.broadcast(std::as_writable_bytes(std::span(&size, 1)), root);
  std::string result = comm.rank() == root ? text : std::string(size, '\0');
  comm.broadcast(std::as_writable_bytes(std::span(result)), root);
  return result;
}

}  // namespace assay
