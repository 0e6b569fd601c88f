#include "runner/process.h"

#include "core/error.h"
#include "core/file.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

namespace assay {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

std::string boot_id() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

/// proc(5) from field 3, the state, on; empty where there is no such process.
std::istringstream stat_fields(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return {};
  // Field 2 is the name in parentheses and may itself hold blanks and parentheses.
  return std::istringstream(line.substr(line.rfind(')') + 1));
}

}  // namespace

std::optional<ProcessIdentity> find_process(int pid) {
  std::istringstream fields = stat_fields(pid);
  std::string state, skipped;
  fields >> state;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  ProcessIdentity process{host_name(), boot_id(), pid, 0};
  if (!(fields >> process.start_time) || state == "Z" || state == "X") return std::nullopt;
  return process;
}

ProcessIdentity this_process() { return find_process(::getpid()).value(); }

std::optional<bool> is_alive(const ProcessIdentity& process) {
  if (process.host != host_name()) return std::nullopt;
  return find_process(process.pid) == process;
}

bool is_stopped(int pid) {
  std::string state;
  return (stat_fields(pid) >> state) && (state == "T" || state == "t");
}

void kill_process(const ProcessIdentity& process) {
  if (is_alive(process) == true) ::kill(process.pid, SIGKILL);
}

nlohmann::json to_json(const ProcessIdentity& process) {
  return {{"host", process.host},
          {"boot_id", process.boot_id},
          {"pid", process.pid},
          {"start_time", process.start_time}};
}

std::optional<ProcessIdentity> process_from_json(const nlohmann::json& json) {
  try {
    return ProcessIdentity{json.at("host"), json.at("boot_id"), json.at("pid"),
                           json.at("start_time")};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::vector<ProcessIdentity> recorded_ranks(const std::filesystem::path& folder) {
  std::vector<ProcessIdentity> ranks;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("rank") || !name.ends_with(".json")) continue;
    const auto json = nlohmann::json::parse(read_file(entry.path()), nullptr, false);
    if (const auto process = process_from_json(json)) ranks.push_back(*process);
  }
  return ranks;
}

void end_recorded_ranks(const std::filesystem::path& folder, double timeout_seconds) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds);
  for (const ProcessIdentity& process : recorded_ranks(folder)) {
    while (is_alive(process) == true) {
      kill_process(process);
      if (std::chrono::steady_clock::now() > deadline) {
        throw CommError("{}: process {} of {} does not die; see its log, then start again",
                        folder.string(), process.pid, process.host);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

std::vector<char*> exec_pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

void die_with_parent(int signal, int parent) {
  if (::prctl(PR_SET_PDEATHSIG, signal) != 0) {
    throw CommError("prctl(PR_SET_PDEATHSIG) failed: {}", std::strerror(errno));
  }
  if (::getppid() != parent) throw CommError("the launcher ended before its process had started");
}

}  // namespace assay
