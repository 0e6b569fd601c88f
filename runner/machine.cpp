#include "runner/machine.h"

#include "runner/process.h"

namespace assay {

Machine this_machine(std::string device) {
  return {.device = std::move(device), .host = this_process().host, .build = ASSAY_BUILD};
}

}  // namespace assay
