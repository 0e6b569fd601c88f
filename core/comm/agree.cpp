#include "core/comm/agree.h"

#include "core/error.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

namespace assay {

void agree(Communicator& comm, const std::function<void()>& work) {
  const std::string failure = failure_of(work);
  std::vector<std::string> failures;
  for (const auto& bytes : comm.all_gather(std::as_bytes(std::span(failure)))) {
    failures.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  throw_first_failure(failures);
}

std::string failure_of(const std::function<void()>& work) {
  std::string failure;
  try {
    work();
    return {};
  } catch (const CommError&) {
    throw;
  } catch (const std::bad_alloc&) {
    return "out of memory";
  } catch (const c10::AcceleratorError& error) {
    throw CommError("{}", error.what_without_backtrace());
  } catch (const c10::Error& error) {
    failure = error.what_without_backtrace();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  return failure.empty() ? "an error without a message" : failure;
}

void throw_first_failure(const std::vector<std::string>& failures) {
  for (const std::string& failure : failures) {
    if (!failure.empty()) throw JobError("{}", failure);
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
