#include "core/error.h"
#include "runner/attempt_log.h"
#include "runner/commands.h"
#include "runner/look.h"
#include "runner/progress.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>

namespace assay {
namespace {

struct LogArguments {
  Places places;
  std::string job;
  std::int64_t attempt = 0;
  int rank = 0;
  bool failed = false, follow = false;
};

std::filesystem::path log_of(const Attempt& attempt, const LogArguments& arguments) {
  const auto gang = arguments.places.paths().gangs() / std::to_string(attempt.gang);
  return attempt_log(gang, attempt, arguments.rank);
}

void print_head(const Attempt& recorded, const LogArguments& arguments, bool lives) {
  const std::filesystem::path log = log_of(recorded, arguments);
  const Attempt attempt = present_attempt(recorded, lives);
  const bool silent = attempt.outcome != "running" && !std::filesystem::exists(log);
  say(stderr, fmt::format("job {} attempt {} ({}{}{}): {}\n", attempt.job.substr(0, 12),
                          attempt.number, attempt.outcome, attempt.message.empty() ? "" : ": ",
                          attempt.message, silent ? "nothing printed" : log.string()));
}

/// Prints what a file has from `offset` on, and moves it; false where nobody reads any more.
bool print_from(const std::filesystem::path& path, std::streamoff& offset) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(offset);
  std::string chunk(1 << 16, '\0');
  while (file.read(chunk.data(), static_cast<std::streamsize>(chunk.size())), file.gcount() > 0) {
    offset += file.gcount();
    const std::string_view text(chunk.data(), static_cast<std::size_t>(file.gcount()));
    if (!say(stdout, text)) return false;
  }
  return true;
}

/// Attempt after attempt, as their logs grow, until the job is done or nobody works on it.
int follow(const LogArguments& arguments) {
  constexpr auto kInterval = std::chrono::milliseconds(200);
  const std::string job = open_store(arguments.places).find_job(arguments.job);
  std::int64_t shown = 0;  // Number of the attempt whose log is printed.
  std::streamoff offset = 0;
  while (true) {
    // Asked before the log is read: what was written before an end is printed.
    const bool held = coordinator_lives(arguments.places.paths());
    const std::vector<Attempt> attempts = open_store(arguments.places).attempts(job);
    for (const Attempt& attempt : attempts) {
      if (attempt.number < shown || (shown == 0 && &attempt != &attempts.back())) continue;
      if (attempt.number > shown) {
        print_head(attempt, arguments, held);
        shown = attempt.number;
        offset = 0;
      }
      if (!print_from(log_of(attempt, arguments), offset)) return 0;
    }
    const std::string outcome = attempts.empty() ? "" : attempts.back().outcome;
    if (!held || outcome == "done" || outcome == "failed") {
      if (!attempts.empty()) print_head(attempts.back(), arguments, held);
      return 0;
    }
    std::this_thread::sleep_for(kInterval);
  }
}

const Attempt& chosen_attempt(const std::vector<Attempt>& attempts,
                              const std::string& job,
                              std::int64_t number) {
  const auto found = number == 0 ? attempts.end() - (attempts.empty() ? 0 : 1)
                                 : std::ranges::find(attempts, number, &Attempt::number);
  if (found != attempts.end()) return *found;
  throw ConfigError("job {}: no such attempt; it has {}", job.substr(0, 12), attempts.size());
}

int log_command(const LogArguments& arguments) {
  if (arguments.failed == !arguments.job.empty()) {
    throw ConfigError("log: name a job (the first digits of its id), or give --failed");
  }
  if (arguments.follow) {
    if (arguments.failed) throw ConfigError("log: --follow needs a job, not --failed");
    return follow(arguments);
  }
  const bool lives = coordinator_lives(arguments.places.paths());
  const Store store = open_store(arguments.places);
  std::vector<std::string> jobs;
  if (arguments.failed) {
    for (const JobStatus& job : store.jobs()) {
      if (job.state == "failed") jobs.push_back(job.id);
    }
  } else {
    jobs.push_back(store.find_job(arguments.job));
  }
  for (const std::string& job : jobs) {
    const std::vector<Attempt> attempts = store.attempts(job);
    const Attempt& attempt = chosen_attempt(attempts, job, arguments.attempt);
    print_head(attempt, arguments, lives);
    std::streamoff offset = 0;
    if (!print_from(log_of(attempt, arguments), offset)) break;
  }
  return 0;
}

}  // namespace

Command add_log_command(CLI::App& app) {
  const auto log = std::make_shared<LogArguments>();
  CLI::App* command = app.add_subcommand("log", "print the log of a job");
  command->add_option("JOB", log->job, "first digits of a job's id");
  command->add_option("--attempt", log->attempt, "number of the attempt (default: the last)");
  command->add_option("--rank", log->rank, "whose log")->capture_default_str();
  command->add_flag("--failed", log->failed, "of every failed job");
  command->add_flag("-f,--follow", log->follow, "as it grows, until the job has ended");
  add_workspace(*command, log->places);
  set_example(*command, "assay log 3fa94c --follow");
  return {command, [log] { return log_command(*log); }};
}

}  // namespace assay
