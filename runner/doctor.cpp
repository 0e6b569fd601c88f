#include "runner/doctor.h"

#include "core/error.h"
#include "core/gpu.h"
#include "registry/backbone_catalogue.h"
#include "runner/commands.h"
#include "runner/gang.h"
#include "runner/installation.h"

#include <poll.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

namespace assay {
namespace {

using nlohmann::json;

constexpr const char* kSetup = "tools/setup.sh";
constexpr double kGigabyte = 1e9;

Finding cores_and_memory() {
  cpu_set_t set;
  const int cores = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  struct sysinfo info {};
  ::sysinfo(&info);
  const double bytes = static_cast<double>(info.totalram) * info.mem_unit;
  return {"cores, memory", true, true, fmt::format("{} cores, {:.0f} GB", cores, bytes / kGigabyte),
          ""};
}

Finding gpus() {
  std::string names;
  std::error_code missing;
  for (const auto& gpu : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", missing)) {
    std::ifstream file(gpu.path() / "information");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("Model:")) names += line.substr(line.find_first_not_of(" \t", 6)) + "; ";
    }
  }
  return {"GPUs", true, false, names.empty() ? "none: everything runs on the CPU" : names, ""};
}

Finding shared_memory() {
  const std::string warning = shared_memory_warning();
  return {"shared memory", warning.empty(), false, warning.empty() ? "at least 1 GB" : warning,
          "docker run --shm-size=1g ..."};
}

Finding disk(const std::filesystem::path& workspace) {
  std::filesystem::path folder = workspace;
  while (!std::filesystem::exists(folder)) folder = folder.parent_path();
  const auto space = std::filesystem::space(folder);
  const double free = static_cast<double>(space.available) / kGigabyte;
  return {"disk", free > 1, true, fmt::format("{:.1f} GB free at {}", free, folder.string()),
          "another --workspace"};
}

Finding file(const std::string& what,
             const std::filesystem::path& path,
             bool needed,
             const std::string& remedy) {
  const bool good = std::filesystem::is_regular_file(path);
  return {what, good, needed, path.string() + (good ? "" : ": not there"), remedy};
}

std::vector<Finding> weights(const Places& places, const Installation& installed) {
  std::vector<Finding> findings;
  Study study;
  places.apply_to(study);
  for (const BackboneDescription& backbone : backbones()) {
    if (backbone.embedded) {
      findings.push_back(file("backbone " + backbone.name,
                              installed.embedded_weights / backbone.weights_file, true,
                              "git checkout -- registry"));
    } else {
      findings.push_back(file("backbone " + backbone.name,
                              study.weights.value_or("weights") / backbone.weights_file, false,
                              "put the file there, or say --weights FOLDER"));
    }
  }
  return findings;
}

/// Starts a gang of two ranks, hears from it and ends it: what every study does.
std::vector<Finding> gang_of_two(const Installation& installed) {
  const std::string command = launcher_command({}, {Slot{}, Slot{}}, "").front();
  Finding mpi{"MPI", false, true, command, "apt-get install -y openmpi-bin, or ASSAY_MPIRUN=..."};
  std::string pattern = (std::filesystem::temp_directory_path() / "assay-doctor-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw DataError("{}: cannot be made", pattern);
  const std::filesystem::path folder = pattern;
  json ready;
  try {
    Gang gang({.slots = {Slot{}, Slot{}},
               .worker = installed.worker,
               .arguments = {"--folder", (folder / "gang").string(), "--ranks", "2"},
               .folder = folder / "gang"});
    pollfd descriptor{gang.descriptor(), POLLIN, 0};
    while (ready.is_null() && ::poll(&descriptor, 1, 60000) > 0) {
      const auto events = gang.receive();
      if (!events) break;
      if (!events->empty()) ready = events->front();
    }
    if (!ready.is_null()) gang.send({{"do", "end"}});
    const std::string how = gang.end(ready.is_null() ? 0 : 10).text;
    mpi.good = !ready.is_null() && how == "ended with exit code 0";
    mpi.found += mpi.good ? ": two ranks start, talk and end" : ": two ranks: " + how;
  } catch (const Error& error) {
    mpi.found += fmt::format(": {}", error.what());
  }
  std::filesystem::remove_all(folder);
  if (ready.is_null()) return {mpi};
  std::string versions;
  for (const auto& [name, value] : ready["environment"].items()) {
    versions +=
        fmt::format("{}{} {}", versions.empty() ? "" : ", ", name, value.get<std::string>());
  }
  return {mpi,
          {"versions", true, true, versions, ""},
          {"vector units", true, true, ready.value("cpu_capability", ""), ""}};
}

std::vector<Finding> look_at_machine(const Places& places) {
  const Installation installed = installation();
  std::vector<Finding> findings = {cores_and_memory(), gpus(), disk(places.paths().root),
                                   shared_memory(),
                                   file("BPE merges", installed.merges, true, kSetup)};
  for (Finding& finding : weights(places, installed)) findings.push_back(std::move(finding));
  findings.push_back(
      file("assay-worker", installed.worker, true, "cmake --build --preset release"));
  if (findings.back().good) {
    for (Finding& finding : gang_of_two(installed)) findings.push_back(std::move(finding));
  }
  return findings;
}

int doctor(const std::vector<Finding>& findings, bool as_json) {
  json report = json::array();
  bool healthy = true;
  for (const Finding& finding : findings) {
    healthy = healthy && (finding.good || !finding.needed);
    report.push_back({{"what", finding.what},
                      {"good", finding.good},
                      {"needed", finding.needed},
                      {"found", finding.found},
                      {"remedy", finding.good ? "" : finding.remedy}});
    if (as_json) continue;
    const char* mark = finding.good ? "ok" : finding.needed ? "MISSING" : "absent";
    fmt::print("{:<8}{:<34}{}\n", mark, finding.what, finding.found);
    if (!finding.good) fmt::print("{:<8}{:<34}-> {}\n", "", "", finding.remedy);
  }
  if (as_json) fmt::print("{}\n", report.dump(2));
  return healthy ? 0 : 1;
}

}  // namespace

std::vector<Command> add_doctor_command(CLI::App& app) {
  const auto places = std::make_shared<Places>();
  const auto as_json = std::make_shared<bool>(false), with_gpus = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("doctor", "what this machine has and lacks, and what installs it");
  add_places(*command, *places);
  command->add_flag("--gpus", *with_gpus,
                    "what the GPUs can do, against the CPU: sums over NCCL, encoding, training");
  command->add_flag("--json", *as_json, "for machines");
  set_example(*command, "assay doctor --weights ~/clip");
  return {{command, [=] {
             return doctor(*with_gpus ? try_gpus(find_worker()) : look_at_machine(*places),
                           *as_json);
           }}};
}

}  // namespace assay
