#include "core/memory.h"

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace assay {

void keep_freed_memory() {
#ifdef __GLIBC__
  // Blocks above the first size, the largest that every glibc accepts, get pages of their own;
  // above the second the heap's free end is handed back.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 16 << 20);
#endif
}

}  // namespace assay
