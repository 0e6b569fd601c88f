#pragma once

#include "core/error.h"
#include "core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace assay {

/// Both ends of a pipe, neither of which a program that is started inherits.
struct Pipe {
  Descriptor read, write;
};

inline Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw CommError("pipe: {}", std::strerror(errno));
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace assay
