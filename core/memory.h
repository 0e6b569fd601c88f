#pragma once

namespace assay {

/// Tells the C library to keep memory that is freed instead of handing it back to the kernel: the
/// tensors of one step are those of the next, and mapping their pages anew took a tenth of a
/// training step. Without effect where the C library is not glibc. Call it before memory is used.
void keep_freed_memory();

}  // namespace assay
