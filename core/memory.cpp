#include "core/memory.h"

#include <cstdlib>
#include <fstream>
#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace assay {
namespace {

/// A field of /proc/self/status (proc(5)), in bytes.
std::optional<std::int64_t> status_bytes(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field + ":")) return 1024 * std::atoll(line.c_str() + field.size() + 1);
  }
  return std::nullopt;
}

}  // namespace

void keep_freed_memory() {
#ifdef __GLIBC__
  // Blocks above the first size, the largest that every glibc accepts, get pages of their own;
  // above the second the heap's free end is handed back.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 16 << 20);
#endif
}

ResidentGrowth::ResidentGrowth() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  std::ofstream mark("/proc/self/clear_refs");
  mark << "5" << std::flush;  // VmHWM starts again at VmRSS.
  if (mark) before_ = status_bytes("VmRSS");
}

std::optional<std::int64_t> ResidentGrowth::bytes() const {
  const auto largest = status_bytes("VmHWM");
  if (!before_ || !largest) return std::nullopt;
  return *largest - *before_;
}

}  // namespace assay
