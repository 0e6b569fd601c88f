#include "runner/gang.h"

#include "core/error.h"
#include "core/file.h"
#include "core/gpu.h"
#include "runner/gang_scratch.h"
#include "runner/pipe.h"
#include "runner/process.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <thread>

namespace assay {
namespace {

constexpr int kChildFailed = 127;

// Between fork and exec: only calls that are safe there.
[[noreturn]] void become(
    char* const* command, char* const* environment, int in, int out, int log, int parent) {
  ::setpgid(0, 0);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGCHLD}) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // SIGTERM lets mpirun clean up after its ranks; these get SIGKILL when it is gone (rank_start.h).
  try {
    die_with_parent(SIGTERM, parent);
  } catch (const Error&) {
    ::_exit(kChildFailed);
  }
  if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(log, 2) < 0) ::_exit(kChildFailed);
  ::execvpe(command[0], command, environment);
  const std::string_view what = "cannot be executed: ";
  const std::string_view why = ::strerrordesc_np(errno);
  for (const std::string_view text :
       {std::string_view(command[0]), std::string_view(": "), what, why}) {
    if (::write(2, text.data(), text.size()) < 0) break;
  }
  ::_exit(kChildFailed);
}

/// mpirun's line on a rank that was killed, with the host and process that the rank has recorded:
/// its own line says `PID 0`.
std::string describe_rank(const std::filesystem::path& folder, const std::string& line) {
  constexpr std::string_view kBefore = "process rank ";
  const std::size_t number = line.find(kBefore) + kBefore.size();
  const std::string rank = line.substr(number, line.find(' ', number) - number);
  const std::filesystem::path record = folder / fmt::format("rank{}.json", rank);
  if (!std::filesystem::exists(record)) return line;
  const auto process = process_from_json(nlohmann::json::parse(read_file(record), nullptr, false));
  return process ? fmt::format("rank {} on {} (process {})", rank, process->host, process->pid)
                 : line;
}

/// The hosts of a gang that this machine's name service does not know; empty where it knows all.
std::string unknown_hosts(const GangOptions& options) {
  std::set<std::string> unknown;
  for (const Slot& slot : options.slots) {
    addrinfo* found = nullptr;
    if (slot.host.empty() || unknown.contains(slot.host)) continue;
    if (::getaddrinfo(slot.host.c_str(), nullptr, nullptr, &found) != 0) unknown.insert(slot.host);
    if (found != nullptr) ::freeaddrinfo(found);
  }
  if (unknown.empty()) return "";
  return fmt::format("no address is known of {} ({})", fmt::join(unknown, ", "),
                     options.launcher.hostfile);
}

/// What rank 0 of a gang or its launcher said of the end: the rank's own reason, else mpirun's line
/// about a rank, else its first one: advice comes after the reason.
std::string last_words(const std::filesystem::path& folder) {
  constexpr std::string_view kReason = "the gang ends: ";  // gang_loop.cpp
  std::ifstream rank(folder / "rank0.log"), launcher(folder / "launcher.log");
  for (std::string line; std::getline(rank, line);) {
    const std::size_t at = line.find(kReason);
    if (at != std::string::npos) return line.substr(at + kReason.size());
  }
  std::string said;
  bool of_a_rank = false;
  for (std::string line; std::getline(launcher, line);) {
    of_a_rank = line.find("noticed that process rank") != std::string::npos;
    const bool says_something = line.find_first_not_of("- ") != std::string::npos;
    if (of_a_rank || (said.empty() && says_something)) said = line;
    if (of_a_rank) break;
  }
  if (of_a_rank) return describe_rank(folder, said);
  if (said.ends_with('\r')) said.pop_back();  // ssh writes as to a terminal.
  return said;
}

/// The signal that ended the launcher or, as it says, one of its ranks.
std::optional<std::int64_t> signal_of(int status) {
  if (WIFSIGNALED(status)) return WTERMSIG(status);
  const int code = WEXITSTATUS(status);
  return code > 128 && code < 160 ? std::optional<std::int64_t>(code - 128) : std::nullopt;
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) return fmt::format("killed by signal {}", WTERMSIG(status));
  if (const auto signal = signal_of(status))
    return fmt::format("a rank was killed by signal {}", *signal);
  return fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

/// How many processes of this machine the kernel has killed for want of memory; 0 where it does not
/// count.
std::int64_t memory_kills() {
  std::ifstream file("/proc/vmstat");
  std::string name;
  for (std::int64_t count = 0; file >> name >> count;) {
    if (name == "oom_kill") return count;
  }
  return 0;
}

/// Makes the folder of a gang anew; what its launcher says goes to the file that is returned.
Descriptor fresh_log(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (!error) std::filesystem::create_directories(folder, error);
  if (error) throw CommError("{}: the folder cannot be made: {}", folder.string(), error.message());
  const std::filesystem::path log = folder / "launcher.log";
  Descriptor file(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!file) throw CommError("{}: cannot be opened: {}", log.string(), std::strerror(errno));
  return file;
}

/// Whoever ends its ranks must be able to reach them.
void remember_hosts(const std::vector<Slot>& slots, const std::filesystem::path& folder) {
  const std::string hosts = host_list(slots, 1);
  if (hosts.empty()) return;
  try {
    write_file_atomically(folder / kHostsFile, hosts);
  } catch (const DataError& error) {
    throw CommError("{}", error.what());  // As any other reason not to start.
  }
}

}  // namespace

Gang::Gang(GangOptions options) : options_(std::move(options)), memory_kills_(memory_kills()) {
  const Descriptor log_file = fresh_log(options_.folder);
  remember_hosts(options_.slots, options_.folder);
  std::vector<std::string> command =
      launcher_command(options_.launcher, options_.slots, step_name(options_.folder));
  command.push_back(options_.worker.string());
  command.emplace_back("gang");
  command.insert(command.end(), options_.arguments.begin(), options_.arguments.end());
  std::vector<std::string> environment = launcher_environment(options_.launcher);
  environment.push_back(session_setting(options_.folder));

  Pipe in = make_pipe(), out = make_pipe();
  const auto command_pointers = exec_pointers(command),
             environment_pointers = exec_pointers(environment);
  const int parent = ::getpid();
  launcher_ = ::fork();
  if (launcher_ < 0) throw CommError("fork: {}", std::strerror(errno));
  if (launcher_ == 0) {
    become(command_pointers.data(), environment_pointers.data(), in.read.get(), out.write.get(),
           log_file.get(), parent);
  }
  ::setpgid(launcher_, launcher_);  // Here too: whoever comes first.
  listen(std::move(in.write), std::move(out.read));
}

Gang::Gang(GangOptions options, GangChannel channel) : options_(std::move(options)) {
  listen(std::move(channel.input), std::move(channel.events));
}

void Gang::listen(Descriptor input, Descriptor events) {
  input_ = std::move(input);
  events_ = std::move(events);
  writer_.emplace(input_.get());
  ::fcntl(events_.get(), F_SETFL, O_NONBLOCK);
}

Gang::~Gang() {
  try {
    static_cast<void>(end(0));
  } catch (const Error&) {
    // What does not die now is ended before the next attempt starts.
  }
}

std::optional<std::vector<nlohmann::json>> Gang::receive() {
  std::array<char, 1 << 16> buffer{};
  bool closed = false;
  for (;;) {
    const ssize_t count = ::read(events_.get(), buffer.data(), buffer.size());
    if (count > 0) reader_.feed({buffer.data(), static_cast<std::size_t>(count)});
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      closed = count == 0 || errno != EAGAIN;
      break;
    }
  }
  std::vector<nlohmann::json> messages;
  while (auto message = reader_.next()) messages.push_back(std::move(*message));
  if (closed && messages.empty()) return std::nullopt;
  return messages;
}

GangEnd Gang::end(double grace_seconds) {
  close_input();
  if (launcher_ < 0) {
    return {.text =
                wait_for_silence(grace_seconds) ? "its ranks have ended" : "it does not answer"};
  }
  if (!wait_for_launcher(grace_seconds)) {
    told_to_die_ = true;
    ::kill(-launcher_, SIGTERM);
    if (!wait_for_launcher(grace_seconds > 0 ? 3 : 0.2)) {
      ::kill(-launcher_, SIGKILL);
      if (!wait_for_launcher(10)) {
        throw CommError("{}: launcher {} does not die", options_.folder.string(), launcher_);
      }
    }
  }
  const std::string unreachable = end_all_ranks();
  GangEnd end{.text = describe_status(*status_), .signal = signal_of(*status_)};
  if (!end.signal) end.exit_code = WEXITSTATUS(*status_);
  const bool killed = end.signal == SIGKILL && memory_kills() > memory_kills_;
  if (killed || end.exit_code == kOutOfMemoryExit) {
    end.cause = EndCause::kOutOfMemory;
    end.text += ", out of memory";
  } else if (end.signal == SIGTERM && !told_to_die_) {
    end.cause = EndCause::kPreempted;
  }
  const std::string words = last_words(options_.folder);
  if (!words.empty()) end.text = fmt::format("{}: {}", end.text, words);
  if (end.signal == SIGBUS) {  // A page that a full /dev/shm does not have.
    const std::string memory = shared_memory_warning();
    if (!memory.empty()) end.text += "; " + memory;
  }
  if (end.exit_code.value_or(0) != 0) {
    const std::string unknown = unknown_hosts(options_);
    if (!unknown.empty()) end.text = fmt::format("{}: {}", unknown, end.text);
  }
  if (!unreachable.empty()) {
    end.cause = EndCause::kUnreachable;
    end.text = fmt::format("{}; {}", end.text, unreachable);
  }
  return end;
}

/// Why that cannot be verified; empty where it is.
std::string Gang::end_all_ranks() const {
  try {
    end_ranks(options_.launcher, options_.worker, options_.folder);
    return {};
  } catch (const UnreachableError& error) {
    return error.what();
  }
}

bool Gang::wait_for_silence(double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::array<char, 4096> unheard{};
  for (;;) {
    const ssize_t count = ::read(events_.get(), unheard.data(), unheard.size());
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return true;
    if (count > 0) continue;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

bool Gang::wait_for_launcher(double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!status_) {
    int status = 0;
    if (::waitpid(launcher_, &status, WNOHANG) == launcher_) {
      status_ = status;
    } else if (std::chrono::steady_clock::now() >= deadline) {
      return false;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  return true;
}

}  // namespace assay
