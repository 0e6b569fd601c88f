#pragma once

#include "core/comm/communicator.h"

#include <cstddef>
#include <memory>
#include <string_view>

namespace assay {

/// MPI in this process, from its start to its end: one object, made early in `main`.
///
/// The destructor finalises MPI, which waits for the other ranks; while an exception unwinds it
/// does not, so that mpirun notices the missing rank and ends its peers instead of waiting for
/// ever.
class MpiSession {
 public:
  /// Initialises MPI and asks for MPI_THREAD_MULTIPLE. Throws CommError where it does not start, or
  /// was started before.
  MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession();

  /// What MPI granted: `single`, `funneled`, `serialized` or `multiple`.
  [[nodiscard]] std::string_view thread_level() const;

  /// Largest single MPI message; longer data goes in pieces (MPI counts in int).
  static constexpr std::size_t kMaxMessageBytes = std::size_t{1} << 30;

  /// A communicator of its own over all ranks of the world. A collective call; the result must not
  /// outlive the session.
  [[nodiscard]] std::unique_ptr<Communicator> world(
      std::size_t max_message_bytes = kMaxMessageBytes) const;

  /// A communicator over the ranks that name the same `gang` >= 0, in the order of the world; null
  /// where `gang` is negative. A collective call of the world.
  [[nodiscard]] std::unique_ptr<Communicator> split(int gang) const;

  /// Ends every rank of the world at once: what follows a CommError.
  [[noreturn]] static void abort(int exit_code) noexcept;

 private:
  int thread_level_ = 0;
};

}  // namespace assay
