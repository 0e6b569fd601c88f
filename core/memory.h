#pragma once

#include <cstdint>
#include <optional>

namespace assay {

/// Tells the C library to keep memory that is freed instead of handing it back to the kernel: the
/// tensors of one step are those of the next, and mapping their pages anew took a tenth of a
/// training step. Without effect where the C library is not glibc. Call it before memory is used.
void keep_freed_memory();

/// By how much this process's resident memory grows, at its largest, from now on.
class ResidentGrowth {
 public:
  /// Hands back what is freed and kept, and sets the kernel's mark of the largest size back.
  ResidentGrowth();
  /// Nothing where the kernel does not tell.
  [[nodiscard]] std::optional<std::int64_t> bytes() const;

 private:
  std::optional<std::int64_t> before_;
};

}  // namespace assay
