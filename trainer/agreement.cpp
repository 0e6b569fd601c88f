#include "trainer/agreement.h"

#include "core/error.h"

#include <c10/util/Exception.h>

#include <cstddef>
#include <exception>
#include <span>
#include <vector>

namespace assay {

std::string failure_of(const std::function<void()>& compute) {
  try {
    compute();
    return {};
  } catch (const CommError&) {
    throw;
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  }
}

void agree(Communicator& comm, const std::string& failure) {
  std::vector<std::string> failures;
  for (const auto& bytes : comm.all_gather(std::as_bytes(std::span(failure)))) {
    failures.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  throw_first_failure(failures);
}

void throw_first_failure(const std::vector<std::string>& failures) {
  for (std::size_t rank = 0; rank < failures.size(); ++rank) {
    if (!failures[rank].empty()) throw JobError("rank {}: {}", rank, failures[rank]);
  }
}

}  // namespace assay
