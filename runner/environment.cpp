#include "runner/environment.h"

#include "runner/process.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <hdf5.h>
#include <mpi.h>
#include <sys/utsname.h>
#include <torch/version.h>

#include <array>
#include <fstream>
#include <string>

namespace assay {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string version = text.data();
  return version.substr(0, version.find_first_of(",\n"));
}

}  // namespace

nlohmann::json environment_facts(const ComputeDevice& device) {
  utsname kernel{};
  ::uname(&kernel);
  nlohmann::json facts = {{"host", this_process().host},
                          {"cpu_capability", at::get_cpu_capability()},
                          {"threads", at::get_num_threads()},
                          {"environment",
                           {{"assay", ASSAY_VERSION},
                            {"libtorch", TORCH_VERSION},
                            {"mpi", mpi_version()},
                            {"hdf5", H5_VERSION},
                            {"compiler", __VERSION__},
                            {"cpu", cpu_model()},
                            {"kernel", kernel.release}}}};
  if (device.gpu) {
    facts["environment"]["gpu"] = device.name();
    facts["environment"]["cuda"] = device.backend->versions();
  }
  return facts;
}

}  // namespace assay
