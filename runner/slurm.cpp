#include "runner/slurm.h"

#include "core/error.h"
#include "runner/run_program.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <sstream>
#include <thread>

namespace assay {
namespace {

constexpr double kAnswerSeconds = 30;  // Slurm's own time-out for a message is 10 s.
constexpr int kAttempts = 3;
constexpr auto kPause = std::chrono::milliseconds(200);
constexpr auto kEndPatience = std::chrono::seconds(60);  // KillWait is 30 s by default.

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// What `words` prints. A question may be asked again: the controller may be busy.
std::string ask(const std::vector<std::string>& words) {
  ProgramResult result;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
    result = run_program(words, kAnswerSeconds);
    if (result.good()) return result.out;
    if (result.exit_code == 127) break;
  }
  throw CommError("Slurm does not answer: {}: {}", words[0], first_line(result.err));
}

void tell(const std::vector<std::string>& words) {
  const ProgramResult result = run_program(words, kAnswerSeconds);
  if (!result.good()) throw CommError("{}: {}", words[0], first_line(result.err));
}

std::vector<std::string> step_ids(const std::string& job, const std::string& step_name) {
  std::istringstream lines(
      ask({"squeue", "--steps", "--noheader", "--format=%i %j", "--jobs", job}));
  std::vector<std::string> ids;
  for (std::string id, name; lines >> id && std::getline(lines >> std::ws, name);) {
    if (name == step_name) ids.push_back(id);
  }
  return ids;
}

/// `16(x2),8` is 40; 0 where it is anything else.
int sum_of_counts(std::string_view text) {
  int sum = 0;
  while (!text.empty()) {
    int count = 0, times = 1;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc()) return 0;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with("(x")) {
      const auto parsed = std::from_chars(text.data() + 2, text.data() + text.size(), times);
      if (parsed.ec != std::errc()) return 0;
      text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
      if (!text.starts_with(")")) return 0;
      text.remove_prefix(1);
    }
    sum += count * times;
    if (!text.empty() && text.front() != ',') return 0;
    if (!text.empty()) text.remove_prefix(1);
  }
  return sum;
}

const char* variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

}  // namespace

std::optional<std::string> slurm_allocation() {
  const std::string job = variable("SLURM_JOB_ID");
  return job.empty() ? std::nullopt : std::optional(job);
}

int allocation_slots() {
  const int tasks = sum_of_counts(variable("SLURM_NTASKS"));
  return tasks > 0 ? tasks : sum_of_counts(variable("SLURM_JOB_CPUS_PER_NODE"));
}

int allocation_gpus() {
  return sum_of_counts(variable("SLURM_GPUS_ON_NODE")) *
         std::max(sum_of_counts(variable("SLURM_JOB_NUM_NODES")), 1);
}

std::optional<std::int64_t> allocation_end(const std::string& job) {
  const std::string text = first_line(ask({"squeue", "--noheader", "--format=%e", "--jobs", job}));
  std::tm local{};
  local.tm_isdst = -1;
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &local) == nullptr) return std::nullopt;
  return ::mktime(&local);  // squeue writes local time.
}

std::vector<std::string> step_command(int ranks, const std::string& step_name, bool gpus) {
  std::vector<std::string> command = {
      "srun",
      "--input=0",
      "--unbuffered",
      "--mpi=pmix",
      "--exact",  // No core in two steps.
      "--mem=0",  // Nor does a step take the memory that the next one needs.
      "--cpu-bind=none",
      "--kill-on-bad-exit=1",
      "--job-name=" + step_name,
      "--ntasks=" + std::to_string(ranks)};
  if (gpus) {
    command.insert(command.end(), {"--gpus-per-task=1", "--gpu-bind=none"});
  } else {
    command.emplace_back("--gres=none");  // Else it takes all, and the next one waits.
  }
  return command;
}

void end_steps(const std::string& job, const std::string& step_name) {
  const auto deadline = std::chrono::steady_clock::now() + kEndPatience;
  bool told = false;
  for (;;) {
    const std::vector<std::string> ids = step_ids(job, step_name);
    if (ids.empty()) return;
    if (std::chrono::steady_clock::now() > deadline) {
      throw CommError("Slurm step {} ({}) does not end", ids[0], step_name);
    }
    if (!told) {
      for (const std::string& id : ids) {
        // It may have ended in between; the next look tells.
        static_cast<void>(run_program({"scancel", "--signal=KILL", id}, kAnswerSeconds));
      }
      told = true;
    }
    std::this_thread::sleep_for(kPause);
  }
}

std::optional<QueuedJob> find_job(const std::string& name) {
  std::istringstream lines(ask({"squeue", "--noheader", "--format=%i|%T|%R",
                                "--user=" + std::to_string(::geteuid()), "--name=" + name}));
  QueuedJob job;
  if (!std::getline(lines, job.id, '|') || !std::getline(lines, job.state, '|')) {
    return std::nullopt;
  }
  std::getline(lines, job.reason);
  return job;
}

std::string submit_job(const std::vector<std::string>& options, const std::string& script_path) {
  std::vector<std::string> words = {"sbatch", "--parsable"};
  words.insert(words.end(), options.begin(), options.end());
  words.push_back(script_path);
  const ProgramResult result = run_program(words, kAnswerSeconds);
  if (result.exit_code == 127) {
    throw CommError("--launcher slurm: there is no Slurm here: {}", first_line(result.err));
  }
  if (!result.good()) throw ConfigError("sbatch refuses: {}", first_line(result.err));
  const std::string line = first_line(result.out);  // `4711` or `4711;cluster`.
  return line.substr(0, line.find(';'));
}

void interrupt_job(const QueuedJob& job) {
  if (job.state == "PENDING") return cancel_job(job);
  tell({"scancel", "--batch", "--signal=INT", job.id});
}

void cancel_job(const QueuedJob& job) { tell({"scancel", job.id}); }

}  // namespace assay
