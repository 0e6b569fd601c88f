#include "runner/installation.h"

#include "core/error.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace assay {
namespace {

std::filesystem::path from_environment(const char* name, const std::filesystem::path& fallback) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::filesystem::absolute(value) : fallback;
}

}  // namespace

Installation installation() {
  const std::filesystem::path folder =
      std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::filesystem::path sources = folder.parent_path().parent_path();
  return {.worker = folder / "assay-worker",
          .sources = sources,
          .embedded_weights = from_environment("ASSAY_EMBEDDED_WEIGHTS", sources),
          .merges = from_environment("ASSAY_BPE_MERGES",
                                     sources / ".deps/clip/bpe_simple_vocab_16e6.txt.gz")};
}

std::filesystem::path find_worker() {
  const std::filesystem::path worker = installation().worker;
  if (::access(worker.c_str(), X_OK) != 0) {
    throw ConfigError("{}: cannot be executed: {}; build it (cmake --build --preset release)",
                      worker.string(), std::strerror(errno));
  }
  return worker;
}

}  // namespace assay
